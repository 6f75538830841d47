package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patienceVariable makes this test binary the plugin, with a deadline that a test can wait for.
const patienceVariable = "PODSPLIT_TEST_PATIENCE"

func TestMain(m *testing.M) {
	if patience, err := time.ParseDuration(os.Getenv(patienceVariable)); err == nil {
		os.Exit(run(agent{socket: os.Args[1], owner: uint32(os.Getuid()), patience: patience}))
	}
	os.Exit(m.Run())
}

func environment(command, netns string) []string {
	return []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=c1", "CNI_IFNAME=net1", "CNI_PATH=/opt/cni/bin", "CNI_NETNS=" + netns,
		"CNI_ARGS=K8S_POD_NAME=web-0",
	}
}

// execute runs a plugin to its end and returns its exit code and what it printed.
func execute(t *testing.T, plugin *exec.Cmd) (code int, stdout []byte) {
	t.Helper()
	stdout, err := plugin.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), stdout
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, stdout
}

// document reads standard output as a runtime does: it has to be exactly one JSON document.
func document(t testing.TB, stdout []byte) map[string]any {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal(stdout, &d); err != nil {
		t.Fatalf("standard output is not one JSON object: %v\n%s", err, stdout)
	}
	return d
}

// newNetns returns the path of a network namespace that lives as long as the test.
func newNetns(t *testing.T) string {
	t.Helper()
	holder := exec.Command("cat")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); holder.Wait() })
	return fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
}

// The binary that ships, but for the path of the socket, which is set as it links.
func TestBinary(t *testing.T) {
	needsRoot(t)
	a := inFolder(t)
	binary := filepath.Join(t.TempDir(), "podsplit")
	building := exec.Command("go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.version=1.2.3 -X main.socketPath="+a.socket, "-o", binary, ".")
	building.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := building.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	plugin := func(stdin string, env []string) (int, []byte) {
		command := exec.Command(binary)
		command.Env, command.Stdin = env, strings.NewReader(stdin)
		return execute(t, command)
	}
	netns := newNetns(t)
	failure := func(t *testing.T, code int, stdout []byte, wantCode float64, part string) {
		t.Helper()
		d := document(t, stdout)
		message, _ := d["msg"].(string)
		if code != 1 || d["code"] != wantCode || !strings.Contains(message, part) {
			t.Errorf("want exit 1, %v ...%s..., got exit %d, %s", wantCode, part, code, stdout)
		}
	}

	t.Run("VERSION", func(t *testing.T) {
		code, stdout := plugin("", environment("VERSION", ""))
		want := []any{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}
		if d := document(t, stdout); code != 0 || !reflect.DeepEqual(d["supportedVersions"], want) {
			t.Errorf("got exit %d, %s", code, stdout)
		}
	})
	t.Run("without a command", func(t *testing.T) {
		command := exec.Command(binary)
		command.Env = []string{}
		output, err := command.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(output), "CNI plugin podsplit 1.2.3\n") {
			t.Errorf("got %v, %s", err, output)
		}
	})
	t.Run("unknown command", func(t *testing.T) {
		code, stdout := plugin(config, environment("EXPLODE", netns))
		failure(t, code, stdout, 4, "unknown CNI_COMMAND: EXPLODE")
	})
	t.Run("garbage", func(t *testing.T) {
		code, stdout := plugin("\x00{garbage", environment("ADD", netns))
		failure(t, code, stdout, 6, "network config")
	})
	t.Run("a version to come", func(t *testing.T) {
		code, stdout := plugin(`{"cniVersion":"9.0.0","name":"web"}`, environment("ADD", netns))
		failure(t, code, stdout, 1, "incompatible CNI versions")
	})
	t.Run("without an agent", func(t *testing.T) {
		code, stdout := plugin(config, environment("ADD", netns))
		failure(t, code, stdout, 11, "podsplit: the node agent does not answer at "+a.socket+" (no such file or directory)")
		if code, stdout := plugin(config, environment("DEL", netns)); code != 0 || len(stdout) != 0 {
			t.Errorf("DEL: got exit %d, %s", code, stdout)
		}
	})

	listen(t, a, func(connection net.Conn) {
		var call request
		if err := json.NewDecoder(connection).Decode(&call); err != nil {
			return
		}
		if call.Command == "ADD" {
			fmt.Fprint(connection, accepted)
		} else {
			fmt.Fprintln(connection, "{}")
		}
	})
	t.Run("ADD", func(t *testing.T) {
		code, stdout := plugin(config, environment("ADD", netns))
		if code != 0 {
			t.Errorf("got exit %d", code)
		}
		sameJSON(t, stdout, []byte(verdict))
	})
	for command, stdin := range map[string]string{
		"CHECK":  config,
		"DEL":    config,
		"GC":     `{"cniVersion":"1.1.0","name":"web","cni.dev/valid-attachments":[]}`,
		"STATUS": `{"cniVersion":"1.1.0","name":"web"}`,
	} {
		t.Run(command, func(t *testing.T) {
			if code, stdout := plugin(stdin, environment(command, netns)); code != 0 || len(stdout) != 0 {
				t.Errorf("got exit %d, %s", code, stdout)
			}
		})
	}
	// Skel finds this out after the agent has said yes.
	t.Run("ADD into the plugin's own namespace", func(t *testing.T) {
		code, stdout := plugin(config, environment("ADD", fmt.Sprintf("/proc/%d/ns/net", os.Getpid())))
		failure(t, code, stdout, 8, "should not be the same")
	})
}

// impatient is the plugin with a short deadline, started with standard input as given.
func impatient(t *testing.T, a agent, patience string, stdin io.Reader) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	plugin := exec.Command(self, a.socket)
	plugin.Env = append(environment("ADD", "/none"), patienceVariable+"="+patience)
	plugin.Stdin = stdin
	return plugin
}

func TestDeadlineOfTheProcess(t *testing.T) {
	a := inFolder(t)
	listen(t, a, silent)
	// The watchdog, which says nothing, comes a sixth later: room for a busy machine.
	code, stdout := execute(t, impatient(t, a, "1.8s", strings.NewReader(config)))
	if d := document(t, stdout); code != 1 || d["code"] != 11.0 {
		t.Errorf("got exit %d, %s", code, stdout)
	}
}

func TestWatchdog(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	code, stdout := execute(t, impatient(t, inFolder(t), "40ms", reader))
	if code != 1 || len(stdout) != 0 {
		t.Errorf("got exit %d, %s", code, stdout)
	}
}

func TestTermination(t *testing.T) {
	connected, gone := make(chan struct{}), make(chan struct{})
	a := inFolder(t)
	listen(t, a, func(connection net.Conn) { close(connected); silent(connection); close(gone) })
	plugin := impatient(t, a, "30s", strings.NewReader(config))
	var stdout bytes.Buffer
	plugin.Stdout = &stdout
	if err := plugin.Start(); err != nil {
		t.Fatal(err)
	}
	<-connected
	if err := plugin.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := plugin.Wait(); err == nil || stdout.Len() != 0 {
		t.Errorf("got %v, %s", err, stdout.Bytes())
	}
	<-gone
}
