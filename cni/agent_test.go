package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
)

const (
	config   = `{"cniVersion":"1.0.0","name":"web","type":"podsplit"}`
	verdict  = `{"cniVersion":"1.0.0","interfaces":[{"name":"net1","mac":"02:00:00:00:00:01","sandbox":"/n"}],"ips":[{"interface":0,"address":"198.18.0.2/29"}]}`
	accepted = `{"result":` + verdict + "}\n"
)

func arguments(stdin string) *skel.CmdArgs {
	return &skel.CmdArgs{
		ContainerID: "c1", Netns: "/var/run/netns/n1", IfName: "net1", Args: "K8S_POD_NAME=web-0", StdinData: []byte(stdin),
	}
}

// call is one command without the process around it.
func call(a agent, command, stdin string) (types.Result, error) {
	switch args := arguments(stdin); command {
	case "ADD":
		return add(a, args)
	case "CHECK":
		return nil, check(a, args)
	case "STATUS":
		return nil, status(a, args)
	default:
		return nil, forget(a, command, args)
	}
}

// expect holds an outcome to a code and a part of the message, or to success for "".
func expect(t *testing.T, err error, code uint, part string) {
	t.Helper()
	if part == "" {
		if err != nil {
			t.Errorf("want success, got %v", err)
		}
		return
	}
	got, ok := errors.AsType[*types.Error](err)
	if !ok {
		t.Fatalf("want an error of CNI, got %T %v", err, err)
	}
	if got.Code != code || !strings.Contains(got.Msg, part) {
		t.Errorf("want %d ...%s..., got %d %s", code, part, got.Code, got.Msg)
	}
	if strings.Count(got.Msg, "podsplit: ") != 1 || !strings.HasPrefix(got.Msg, "podsplit: ") {
		t.Errorf("want one prefix, got %s", got.Msg)
	}
}

func TestNoVerdict(t *testing.T) {
	const seen = "see the DaemonSet podsplit-agent in namespace podsplit-node"
	cases := map[string]struct {
		prepare func(t *testing.T, a *agent)
		code    uint // of ADD and CHECK
		reason  string
		absent  bool // DEL and GC succeed
	}{
		"no folder": {
			func(t *testing.T, a *agent) { a.socket = filepath.Join(filepath.Dir(a.socket), "none", "agent.sock") },
			11, "(no such file or directory): the Pod waits; " + seen, true,
		},
		"no socket": {
			func(*testing.T, *agent) {},
			11, "(no such file or directory): the Pod waits; " + seen, true,
		},
		"nobody listens": {
			func(t *testing.T, a *agent) {
				listener := listen(t, *a, silent)
				listener.(*net.UnixListener).SetUnlinkOnClose(false)
				listener.Close()
			},
			11, "(connection refused): the Pod waits; " + seen, true,
		},
		"no reply": {
			func(t *testing.T, a *agent) { a.patience = 30 * time.Millisecond; listen(t, *a, silent) },
			11, "(no reply within 30ms): the Pod waits; " + seen, true,
		},
		"half a reply, then nothing": {
			func(t *testing.T, a *agent) {
				a.patience = 30 * time.Millisecond
				listen(t, *a, func(c net.Conn) { replying(`{"result":`)(c); silent(c) })
			},
			11, "(no reply within 30ms): the Pod waits; " + seen, true,
		},
		"the queue is full": {
			func(t *testing.T, a *agent) { a.patience = 30 * time.Millisecond; fillQueue(t, *a) },
			11, "(no reply within 30ms): the Pod waits; " + seen, true,
		},
		"hangs up at once": {
			func(t *testing.T, a *agent) { listen(t, *a, func(net.Conn) {}) },
			11, "hung up before it replied", true,
		},
		"hangs up after the request": {
			func(t *testing.T, a *agent) { listen(t, *a, replying("")) },
			11, "hung up before it replied (no reply): the Pod waits; " + seen, true,
		},
		"hangs up within the reply": {
			func(t *testing.T, a *agent) { listen(t, *a, replying(strings.TrimSpace(accepted))) },
			11, "hung up before it replied (the connection ended within the reply)", true,
		},
		"reply without end": {
			func(t *testing.T, a *agent) { listen(t, *a, replying(strings.Repeat(" ", maxReply+1)+accepted)) },
			6, "(it is longer than 1048576 bytes)", false,
		},
		"no JSON": {
			func(t *testing.T, a *agent) { listen(t, *a, replying("ok\n")) },
			6, "cannot be used (invalid character 'o'", false,
		},
		"a folder that others write": {
			func(t *testing.T, a *agent) {
				listen(t, *a, replying(accepted))
				chmod(t, filepath.Dir(a.socket), 0o770)
			},
			100, "can be written by others than its owner: mode 0770): nothing was sent to it", false,
		},
		"a socket that others write": {
			func(t *testing.T, a *agent) { listen(t, *a, replying(accepted)); chmod(t, a.socket, 0o602) },
			100, "can be written by others than its owner: mode 0602", false,
		},
		"a link to the socket": {
			func(t *testing.T, a *agent) {
				listen(t, *a, replying(accepted))
				link := filepath.Join(filepath.Dir(a.socket), "link")
				if err := os.Symlink(a.socket, link); err != nil {
					t.Fatal(err)
				}
				a.socket = link
			},
			100, "link is no socket", false,
		},
		"a file": {
			func(t *testing.T, a *agent) {
				if err := os.WriteFile(a.socket, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			100, "agent.sock is no socket", false,
		},
		"another user's socket": {
			func(t *testing.T, a *agent) {
				needsRoot(t)
				listen(t, *a, replying(accepted))
				if err := os.Chown(a.socket, 1234, 0); err != nil {
					t.Fatal(err)
				}
			},
			100, "agent.sock belongs to user 1234, not 0", false,
		},
		"another user's folder": {
			func(t *testing.T, a *agent) {
				listen(t, *a, replying(accepted))
				a.owner++
			},
			100, "belongs to user", false,
		},
		"another user listens": {
			func(t *testing.T, a *agent) { needsRoot(t); listenAs(t, a.socket, 1234, 8) },
			100, "user 1234 listens there, not 0", false,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := inFolder(t)
			c.prepare(t, &a)
			for _, command := range []string{"ADD", "CHECK", "DEL", "GC", "STATUS"} {
				t.Run(command, func(t *testing.T) {
					result, err := call(a, command, config)
					if result != nil {
						t.Errorf("got a result: %v", result)
					}
					switch {
					case command == "STATUS":
						expect(t, err, 50, c.reason)
					case c.absent && (command == "DEL" || command == "GC"):
						expect(t, err, 0, "")
					default:
						expect(t, err, c.code, c.reason)
					}
				})
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// listenAs binds as root and listens as another user: the file says root, the kernel knows better. Credentials are a
// thread's own below the C library, and this thread ends with its goroutine, which stays locked to it.
func listenAs(t *testing.T, path string, uid, queue int) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, 0o600)
	listening := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			listening <- errno
			return
		}
		listening <- syscall.Listen(fd, queue)
	}()
	if err := <-listening; err != nil {
		t.Fatal(err)
	}
	return fd
}

// fillQueue listens with a queue of one, which is taken, and returns the listener's descriptor.
func fillQueue(t *testing.T, a agent) int {
	t.Helper()
	fd := listenAs(t, a.socket, int(a.owner), 0)
	first, err := net.Dial("unix", a.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	return fd
}

func TestWaitsWhileTheQueueIsFull(t *testing.T) {
	a := inFolder(t)
	fd := fillQueue(t, a)
	verdict := make(chan error)
	go func() {
		_, err := call(a, "CHECK", config)
		verdict <- err
	}()
	select {
	case err := <-verdict:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	for range 2 {
		connection, _, err := syscall.Accept(fd)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(connection)
		if _, err := syscall.Write(connection, []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-verdict; err != nil {
		t.Error(err)
	}
}

func TestReplies(t *testing.T) {
	cases := map[string]struct {
		commands string
		config   string
		reply    string
		code     uint
		part     string // of the error; "" for success
	}{
		"yes":                    {"CHECK DEL GC STATUS", config, `{}`, 0, ""},
		"yes, spaced":            {"CHECK DEL GC STATUS", config, " { }\t", 0, ""},
		"yes with a result":      {"ADD", config, `{"result":` + verdict + `}`, 0, ""},
		"no":                     {"ADD CHECK DEL GC STATUS", config, `{"error":{"code":104,"msg":"no claim for web-0","details":"d"}}`, 104, "podsplit: no claim for web-0"},
		"no, prefixed":           {"ADD DEL", config, `{"error":{"code":11,"msg":"podsplit: wait"}}`, 11, "podsplit: wait"},
		"no, without a reason":   {"ADD DEL", config, `{"error":{}}`, 0, "refused and gave no reason"},
		"no, null":               {"ADD DEL", config, `{"error":null}`, 0, "refused and gave no reason"},
		"no, as text":            {"ADD DEL", config, `{"error":"no"}`, 6, "its error: json"},
		"no, code below zero":    {"ADD DEL", config, `{"error":{"code":-1,"msg":"m"}}`, 6, "its error: json"},
		"yes and no":             {"ADD DEL", config, `{"result":` + verdict + `,"error":{"code":1,"msg":"m"}}`, 6, "a result and an error"},
		"null":                   {"ADD CHECK DEL", config, `null`, 6, "it is null"},
		"an array":               {"ADD CHECK DEL", config, `[]`, 6, "cannot be used"},
		"an empty line":          {"ADD CHECK DEL", config, ``, 6, "cannot be used"},
		"two objects":            {"CHECK DEL", config, `{}{}`, 6, "cannot be used"},
		"a misspelt error":       {"CHECK DEL", config, `{"Error":{"code":1,"msg":"m"}}`, 6, `unknown field "Error"`},
		"a result for no ADD":    {"CHECK DEL", config, `{"result":` + verdict + `}`, 6, "has a result, which"},
		"no result for an ADD":   {"ADD", config, `{}`, 6, "it has no result"},
		"a null result":          {"ADD", config, `{"result":null}`, 6, "its result is no JSON object"},
		"an array as result":     {"ADD", config, `{"result":[]}`, 6, "its result is no JSON object"},
		"result of no version":   {"ADD", config, `{"result":{}}`, 6, `unmarshalled CNIVersion is ""`},
		"result of another":      {"ADD", config, `{"result":{"cniVersion":"1.1.0"}}`, 6, `cniVersion "1.1.0", the configuration "1.0.0"`},
		"result of a bad type":   {"ADD", config, `{"result":{"cniVersion":"1.0.0","ips":{}}}`, 6, "its result: json"},
		"result without address": {"ADD", config, `{"result":{"cniVersion":"1.0.0","ips":[{"address":null}]}}`, 6, "its result: "},
		"0.1.0 by default":       {"ADD", `{"name":"web"}`, `{"result":{"ip4":{"ip":"198.18.0.2/29"}}}`, 0, ""},
		"0.4.0":                  {"ADD", `{"cniVersion":"0.4.0","name":"web"}`, `{"result":{"cniVersion":"0.4.0"}}`, 0, ""},
		"1.1.0":                  {"ADD", `{"cniVersion":"1.1.0","name":"web"}`, `{"result":{"cniVersion":"1.1.0","interfaces":[{"name":"net1","mtu":65535}]}}`, 0, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := inFolder(t)
			listen(t, a, replying(c.reply+"\n"))
			for command := range strings.FieldsSeq(c.commands) {
				t.Run(command, func(t *testing.T) {
					result, err := call(a, command, c.config)
					code := c.code
					if command == "STATUS" && code == 6 {
						code = codeNotAvailable
					}
					expect(t, err, code, c.part)
					if (result != nil) != (command == "ADD" && c.part == "") {
						t.Errorf("got result %v with error %v", result, err)
					}
				})
			}
		})
	}
}

func TestRefusalKeepsDetails(t *testing.T) {
	a := inFolder(t)
	listen(t, a, replying(`{"error":{"code":104,"msg":"m","details":"d"}}`+"\n"))
	_, err := call(a, "ADD", config)
	want := types.NewError(104, "podsplit: m", "d")
	if !reflect.DeepEqual(err, want) {
		t.Errorf("want %#v, got %#v", want, err)
	}
}

func TestResultIsTheAgents(t *testing.T) {
	a := inFolder(t)
	listen(t, a, replying(accepted))
	result, err := call(a, "ADD", config)
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	if err := result.PrintTo(&printed); err != nil {
		t.Fatal(err)
	}
	sameJSON(t, printed.Bytes(), []byte(verdict))
}

func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	if err := errors.Join(json.Unmarshal(got, &g), json.Unmarshal(want, &w)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("want %s\ngot %s", want, got)
	}
}

func TestRequest(t *testing.T) {
	requests := make(chan string, 1)
	a := inFolder(t)
	listen(t, a, func(connection net.Conn) {
		buffer := make([]byte, 4096)
		n, _ := connection.Read(buffer)
		requests <- string(buffer[:n])
		fmt.Fprintln(connection, "{}")
	})
	if _, err := call(a, "DEL", "{\n \"name\": \"<web>\",\n \"cniVersion\": \"1.0.0\"\n}\n"); err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"command":"DEL","containerID":"c1","netns":"/var/run/netns/n1","ifname":"net1",` +
		`"args":"K8S_POD_NAME=web-0","config":{"name":"<web>","cniVersion":"1.0.0"}}` + "\n"
	if got := <-requests; got != want {
		t.Errorf("want %s\ngot %s", want, got)
	}
}

func TestAgentSeesThatNobodyWaits(t *testing.T) {
	gone := make(chan struct{})
	a := inFolder(t)
	a.patience = 30 * time.Millisecond
	listen(t, a, func(connection net.Conn) { silent(connection); close(gone) })
	if _, err := call(a, "ADD", config); err == nil {
		t.Error("want an error")
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the connection is still open")
	}
}

// A refusal that comes before the request was read counts, though the write breaks.
func TestEarlyRefusal(t *testing.T) {
	a := inFolder(t)
	listen(t, a, func(connection net.Conn) { fmt.Fprintln(connection, `{"error":{"code":11,"msg":"stopping"}}`) })
	large := `{"cniVersion":"1.0.0","name":"web","pad":"` + strings.Repeat("x", maxConfig-100) + `"}`
	_, err := call(a, "ADD", large)
	expect(t, err, 11, "podsplit: stopping")
}

func TestLargeConfig(t *testing.T) {
	a := inFolder(t)
	asked := make(chan struct{}, 8)
	listen(t, a, func(net.Conn) { asked <- struct{}{} })
	large := `{"cniVersion":"1.0.0","name":"web","pad":"` + strings.Repeat("x", maxConfig) + `"}`
	for _, command := range []string{"ADD", "CHECK", "DEL", "GC", "STATUS"} {
		_, err := call(a, command, large)
		expect(t, err, types.ErrInvalidNetworkConfig, "of 1048576 allowed: make the NetworkAttachmentDefinition smaller")
	}
	if len(asked) != 0 {
		t.Error("the agent was asked")
	}
}
