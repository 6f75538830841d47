// The semantics of ContainerNetworkPolicy, case by case and at random, in mode isolate.

import { describePolicies } from './support/policy-matrix.ts';

describePolicies('isolate');
