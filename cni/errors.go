package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Codes that the library has no name for. 100 and above are a plugin's own (CNI specification 1.1.0, section 5,
// "Error").
const (
	codeNotAvailable uint = 50
	codeUntrusted    uint = 100
)

// lack is a way to have no verdict of the agent.
type lack struct {
	code uint
	// absent: no agent took the call to its end, and one that starts later collects what a DEL would have removed.
	absent bool
	// sentence is what `kubectl describe pod` shows, made of the socket and the reason: what, why, what to do.
	sentence string
}

const seeAgent = "see the DaemonSet podsplit-agent in namespace podsplit-node"

var (
	unreachable = lack{types.ErrTryAgainLater, true,
		"the node agent does not answer at %s (%v): the Pod waits; " + seeAgent}
	cut = lack{types.ErrTryAgainLater, true,
		"the node agent at %s hung up before it replied (%v): the Pod waits; " + seeAgent}
	untrusted = lack{codeUntrusted, false,
		"%s is not the node agent's socket (%v): nothing was sent to it; find out who made it, then restart the " +
			"DaemonSet podsplit-agent in namespace podsplit-node"}
	garbled = lack{types.ErrDecodingFailure, false,
		"the reply of the node agent at %s cannot be used (%v): the Pod waits; plugin and agent have to be of one " +
			"release, " + seeAgent}
)

// noVerdict is the error when the agent has said neither yes nor no.
type noVerdict struct {
	lack
	socket string
	reason error
}

func (n *noVerdict) Error() string { return fmt.Sprintf(n.sentence, n.socket, n.reason) }

func (n *noVerdict) Unwrap() error { return n.reason }

// forRuntime turns an error into the one that CNI prints. The agent's own refusals are that already.
func forRuntime(err error) error {
	if none, ok := errors.AsType[*noVerdict](err); ok {
		return types.NewError(none.code, prefixed(none.Error()), "")
	}
	return err
}

// prefixed says once whose error it is: the kubelet's event names Multus only.
func prefixed(message string) string {
	return "podsplit: " + strings.TrimPrefix(message, "podsplit: ")
}
