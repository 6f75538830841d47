package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	cniversion "github.com/containernetworking/cni/pkg/version"
)

const (
	protocolVersion = 1
	// maxReply bounds the memory that a reply may cost, its newline aside.
	maxReply = 1 << 20
)

// agent is the node agent as this side sees it: one connection per call, a line there, a line back.
type agent struct {
	socket string
	// owner is the user that the socket and the agent belong to: root, but for the tests.
	owner uint32
	// patience is how long a call may take from connecting to the end of the reply.
	patience time.Duration
}

type request struct {
	Version     int             `json:"version"`
	Command     string          `json:"command"`
	ContainerID string          `json:"containerID"`
	Netns       string          `json:"netns"`
	Ifname      string          `json:"ifname"`
	Args        string          `json:"args"`
	Config      json.RawMessage `json:"config"`
}

// ask returns the `result` of the agent's reply, which only an ADD has. The error is a *types.Error if the agent
// refused, and a *noVerdict if it did not say.
func (a agent) ask(r request) ([]byte, error) {
	call, err := encode(r)
	if err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, prefixed(err.Error()), "")
	}
	line, err := a.exchange(call)
	if err != nil {
		return nil, err
	}
	result, err := readReply(r.Command, line)
	if _, refusal := errors.AsType[*types.Error](err); err != nil && !refusal {
		return nil, &noVerdict{garbled, a.socket, err}
	}
	return result, err
}

// encode makes one line: the configuration's own line breaks go, the rest of it is sent as it came.
func encode(r request) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(r)
	return line.Bytes(), err
}

// exchange sends a line and returns the line that comes back. The sending side stays open meanwhile: its end is how
// the agent learns that nobody waits.
func (a agent) exchange(call []byte) ([]byte, error) {
	if err := trustPath(a.socket, a.owner); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, &noVerdict{unreachable, a.socket, a.plain(err)}
		}
		return nil, &noVerdict{untrusted, a.socket, err}
	}
	until := time.Now().Add(a.patience)
	connection, err := dial(a.socket, until)
	if err != nil {
		return nil, &noVerdict{unreachable, a.socket, a.plain(err)}
	}
	defer connection.Close()
	if err := trustPeer(connection, a.owner); err != nil {
		return nil, &noVerdict{untrusted, a.socket, err}
	}
	if err := connection.SetDeadline(until); err != nil {
		return nil, &noVerdict{unreachable, a.socket, err}
	}
	// An agent may refuse before it has read all: its reply counts for more than the broken pipe.
	_, writing := connection.Write(call)
	line, reading := readLine(connection)
	switch {
	case reading == nil:
		return line, nil
	case errors.Is(reading, errTooLarge):
		return nil, &noVerdict{garbled, a.socket, reading}
	case errors.Is(reading, os.ErrDeadlineExceeded):
		return nil, &noVerdict{unreachable, a.socket, a.plain(reading)}
	default:
		return nil, &noVerdict{cut, a.socket, a.plain(errors.Join(writing, reading))}
	}
}

// dial waits while the agent's queue is full: a connect that does not block, as Go's, fails at once then (connect(2),
// EAGAIN), and a node that boots makes many calls at the same time.
func dial(socket string, until time.Time) (*net.UnixConn, error) {
	for {
		connection, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		if !errors.Is(err, syscall.EAGAIN) {
			return connection, err
		}
		if time.Until(until) <= 0 {
			return nil, os.ErrDeadlineExceeded
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// plain is the part of a network error that people read: the rest names the socket again.
func (a agent) plain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no reply within %v", a.patience)
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		return call.Err
	}
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}

var (
	errTooLarge = fmt.Errorf("it is longer than %d bytes", maxReply)
	errNoLine   = errors.New("the connection ended within the reply")
)

// readLine returns what comes before the first newline.
func readLine(r io.Reader) ([]byte, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxReply+1)).ReadBytes('\n')
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case !errors.Is(err, io.EOF):
		return nil, err
	case len(line) > maxReply:
		return nil, errTooLarge
	case len(line) == 0:
		return nil, errors.New("no reply")
	default:
		return nil, errNoLine
	}
}

// readReply returns the result of an ADD, nothing for other commands, or the agent's refusal as a *types.Error.
// It is strict, since `{}` is a yes: a misspelt `error`, a null or a reply that says two things must not become one.
// Hence a map: a struct would take a null for an object, and "Error" for "error".
func readReply(command string, line []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, err
	}
	if fields == nil {
		return nil, errors.New("it is null")
	}
	result, hasResult := fields["result"]
	refusal, hasError := fields["error"]
	for name := range fields {
		if name != "result" && name != "error" {
			return nil, fmt.Errorf("it has an unknown field %q", name)
		}
	}
	switch {
	case hasResult && hasError:
		return nil, errors.New("it has a result and an error")
	case hasError:
		return nil, readRefusal(refusal)
	case command == "ADD" && !hasResult:
		return nil, errors.New("it has no result")
	case command != "ADD" && hasResult:
		return nil, fmt.Errorf("it has a result, which %s has not", command)
	default:
		return result, nil
	}
}

func readRefusal(raw []byte) error {
	var refusal types.Error
	if err := json.Unmarshal(raw, &refusal); err != nil {
		return fmt.Errorf("its error: %w", err)
	}
	if refusal.Msg == "" {
		refusal.Msg = "the node agent refused and gave no reason"
	}
	return types.NewError(refusal.Code, prefixed(refusal.Msg), refusal.Details)
}

// readResult reads the result of an ADD in the version that the configuration asks for. A runtime refuses any other
// (CNI specification 1.1.0, section 5, "ADD Success"), and its complaint would name Multus.
func readResult(config, raw []byte) (types.Result, error) {
	if !bytes.HasPrefix(raw, []byte("{")) {
		return nil, errors.New("its result is no JSON object")
	}
	wanted, err := (&cniversion.ConfigDecoder{}).Decode(config)
	if err != nil {
		return nil, err
	}
	result, err := cniversion.NewResult(wanted, raw)
	if err != nil {
		return nil, fmt.Errorf("its result: %w", err)
	}
	if got := result.Version(); got != wanted {
		return nil, fmt.Errorf("its result has cniVersion %q, the configuration %q", got, wanted)
	}
	// The types let through what they cannot write again, such as an address without bits.
	var written bytes.Buffer
	if err := result.PrintTo(&written); err != nil {
		return nil, fmt.Errorf("its result: %w", err)
	}
	if _, err := cniversion.NewResult(wanted, written.Bytes()); err != nil {
		return nil, fmt.Errorf("its result: %w", err)
	}
	return result, nil
}
