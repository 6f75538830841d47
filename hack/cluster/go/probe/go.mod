module podsplit.io/hack/cluster/probe

go 1.26
