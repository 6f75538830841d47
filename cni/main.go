// Podsplit is the CNI plugin that podsplit chains into the networks (NADs) it generates. It decides nothing: it carries
// the runtime's call to the node agent and the agent's verdict back.
//
// Why a plugin at all: the rules of a piece have to be in its network namespace before its first process runs. CNI ADD
// is the one moment that the kubelet waits for and whose failure stops the Pod (CNI specification 1.1.0, section 2,
// "ADD"): no agent, no rules, no start. Annotations, readiness gates and policy engines act only once the Pod runs.
//
// Why so little of it: the binary runs as root on the host, outside any container, with input that a NAD's author wrote.
// So all that knows about Pods and rules is in the agent, and nothing configures this program: that author must not
// choose where a process of root connects.
//
// Why a deadline of its own: at 240 s the kubelet gives a sandbox up, and then only Multus is killed. A plugin below it
// lives on as an orphan, and would answer success after the DEL for the same sandbox. It ends after 30 s; the closed
// connection tells the agent that nobody waits any more. SIGTERM ends it at once, by Go's default.
//
// https://github.com/containernetworking/cni/blob/spec-v1.1.0/SPEC.md
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	cniversion "github.com/containernetworking/cni/pkg/version"
)

// version is set by hack/cni.ts.
var version = "0.0.0-dev"

// socketPath is where the agent listens. It is a variable for the tests only, which set it when they link.
var socketPath = "/run/podsplit/agent.sock"

// maxConfig bounds what is taken from standard input. A NAD cannot be larger: etcd refuses objects of 1.5 MiB.
const maxConfig = 1 << 20

func main() {
	os.Exit(run(agent{socket: socketPath, owner: 0, patience: 30 * time.Second}))
}

// run serves the one call that the environment and standard input describe, and returns the exit code.
//
// What a call prints is held back until skel is done. Skel compares the network namespaces after Add has returned, and
// an error then would be a second JSON document on standard output, which no runtime can parse.
func run(a agent) int {
	defer watchdog(a.patience).Stop()
	var result types.Result
	err := skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add: func(args *skel.CmdArgs) (err error) {
			result, err = add(a, args)
			return err
		},
		Check:  func(args *skel.CmdArgs) error { return check(a, args) },
		Del:    func(args *skel.CmdArgs) error { return forget(a, "DEL", args) },
		GC:     func(args *skel.CmdArgs) error { return forget(a, "GC", args) },
		Status: func(args *skel.CmdArgs) error { return status(a, args) },
	}, cniversion.All, "CNI plugin podsplit "+version)
	if err != nil {
		if printing := err.Print(); printing != nil {
			fmt.Fprintln(os.Stderr, "podsplit:", printing)
		}
		return 1
	}
	if result != nil {
		if printing := result.PrintTo(os.Stdout); printing != nil {
			fmt.Fprintln(os.Stderr, "podsplit:", printing)
			return 1
		}
	}
	return 0
}

// watchdog ends what the agent's deadline does not cover: a standard input that is never closed, a namespace path that
// blocks when it is opened. It prints nothing to standard output, where a result may be half written.
func watchdog(patience time.Duration) *time.Timer {
	return time.AfterFunc(patience+patience/6, func() {
		fmt.Fprintln(os.Stderr, "podsplit: the call did not end in time")
		os.Exit(1)
	})
}

// add returns the agent's result, once it has been read as one of the version that the configuration asks for.
func add(a agent, args *skel.CmdArgs) (types.Result, error) {
	raw, err := ask(a, "ADD", args)
	if err != nil {
		return nil, forRuntime(err)
	}
	result, err := readResult(args.StdinData, raw)
	if err != nil {
		return nil, forRuntime(&noVerdict{garbled, a.socket, err})
	}
	return result, nil
}

func check(a agent, args *skel.CmdArgs) error {
	_, err := ask(a, "CHECK", args)
	return forRuntime(err)
}

// forget is DEL and GC. Without an agent both succeed: what they would remove is collected by the agent when it starts,
// whereas a DEL that fails keeps the Pod in Terminating. An agent that is there and refuses is believed.
func forget(a agent, command string, args *skel.CmdArgs) error {
	_, err := ask(a, command, args)
	if none, ok := errors.AsType[*noVerdict](err); ok && none.absent {
		fmt.Fprintf(os.Stderr, "podsplit: %s is left to the next start of the node agent: %v\n", command, none.reason)
		return nil
	}
	return forRuntime(err)
}

// status says whether an ADD would be served, so that every lack of a verdict means "not available".
func status(a agent, args *skel.CmdArgs) error {
	_, err := ask(a, "STATUS", args)
	if none, ok := errors.AsType[*noVerdict](err); ok {
		return types.NewError(codeNotAvailable, prefixed(none.Error()), "")
	}
	return forRuntime(err)
}

// ask refuses what is too large to be a network configuration, and puts the rest to the agent.
func ask(a agent, command string, args *skel.CmdArgs) ([]byte, error) {
	if size := len(args.StdinData); size > maxConfig {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, prefixed(fmt.Sprintf(
			"the network configuration has %d bytes, of %d allowed: make the NetworkAttachmentDefinition smaller",
			size, maxConfig)), "")
	}
	return a.ask(request{
		Version:     protocolVersion,
		Command:     command,
		ContainerID: args.ContainerID,
		Netns:       args.Netns,
		Ifname:      args.IfName,
		Args:        args.Args,
		Config:      args.StdinData,
	})
}
