// The semantics of ContainerNetworkPolicy, case by case and at random, in mode split.

import { describePolicies } from './support/policy-matrix.ts';

describePolicies('split');
