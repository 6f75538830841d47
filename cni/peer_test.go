package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// inFolder returns an agent whose socket lies in a new folder, where nobody listens yet. The folder's name is short: a
// socket's path has 107 bytes at most.
func inFolder(t testing.TB) agent {
	t.Helper()
	folder, err := os.MkdirTemp("", "podsplit-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return agent{socket: filepath.Join(folder, "agent.sock"), owner: uint32(os.Getuid()), patience: 5 * time.Second}
}

// listen serves each connection with `serve` until the test ends.
func listen(t testing.TB, a agent, serve func(net.Conn)) net.Listener {
	t.Helper()
	listener, err := net.Listen("unix", a.socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(a.socket, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				serve(connection)
			}()
		}
	}()
	return listener
}

// replying reads one request and sends `reply` as it is; newlines are the caller's.
func replying(reply string) func(net.Conn) {
	return func(connection net.Conn) {
		if _, err := bufio.NewReader(connection).ReadBytes('\n'); err == nil {
			fmt.Fprint(connection, reply)
		}
	}
}

// silent reads until the other side goes away.
func silent(connection net.Conn) {
	buffer := make([]byte, 4096)
	for {
		if _, err := connection.Read(buffer); err != nil {
			return
		}
	}
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}
