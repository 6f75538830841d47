package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	cniversion "github.com/containernetworking/cni/pkg/version"
)

// FuzzReply: whatever the agent sends, a yes is `{}` or, for ADD, a result that a runtime reads as the wanted version.
func FuzzReply(f *testing.F) {
	for _, line := range []string{
		accepted, "{}", "null", "[]", "", `{"result":{}}`, `{"result":null}`, `{"error":null}`, `{"Error":{"code":1}}`,
		`{"error":{"code":104,"msg":"no","details":"d"}}`, `{"error":{"code":1},"result":{"cniVersion":"1.0.0"}}`, "{}{}",
		`{"result":{"cniVersion":"1.0.0","routes":[null],"ips":[null],"interfaces":[null]}}`,
		`{"result":{"cniVersion":"0.4.0","ips":[{"version":"4","address":"::/0"}],"routes":[{"dst":null}]}}`,
		`{"result":{"ip4":{"ip":"198.18.0.2/29","gateway":"198.18.0.1"},"dns":{}}}`,
	} {
		for version := range cniversion.All.SupportedVersions() {
			f.Add([]byte(line), uint8(version), true)
		}
		f.Add([]byte(line), uint8(0), false)
	}
	versions := cniversion.All.SupportedVersions()
	f.Fuzz(func(t *testing.T, line []byte, choice uint8, isAdd bool) {
		if !isAdd {
			var fields map[string]any
			if _, err := readReply("DEL", line); err == nil &&
				(json.Unmarshal(line, &fields) != nil || fields == nil || len(fields) != 0) {
				t.Errorf("success by %q", line)
			}
			return
		}
		raw, err := readReply("ADD", line)
		if err != nil {
			return
		}
		wanted := versions[int(choice)%len(versions)]
		result, err := readResult(fmt.Appendf(nil, `{"cniVersion":%q}`, wanted), raw)
		if err != nil {
			return
		}
		var printed bytes.Buffer
		if err := result.PrintTo(&printed); err != nil {
			t.Fatal(err)
		}
		if got := document(t, printed.Bytes())["cniVersion"]; got != wanted {
			t.Errorf("want version %q, printed %s", wanted, printed.Bytes())
		}
	})
}

// FuzzConfig puts anything to the whole plugin as standard input. The agent gets one line that carries it unchanged, or
// is not asked; what is printed is one result after the agent's yes, or one error.
func FuzzConfig(f *testing.F) {
	for _, stdin := range []string{
		config, "", "{", "null", "[]", `{"name":""}`, `{"name":"web"}`, `{"name":"web","cniVersion":"9.9.9"}`,
		`{"name":"web","cniVersion":"1.0.0","CNIVERSION":"0.4.0"}`, `{"name":"web","cniVersion":"a.b"}`,
		"{\n\"name\":\"web\",\n\"cniVersion\":\"1.1.0\",\"x\":\"\\u2028 <&>\xff\"}\n", config + config,
		`{"name":"web","cniVersion":"1.0.0","prevResult":` + verdict + `}`,
	} {
		f.Add([]byte(stdin), true)
		f.Add([]byte(stdin), false)
	}
	a := inFolder(f)
	requests := make(chan []byte, 1)
	listen(f, a, func(connection net.Conn) {
		line, err := bufio.NewReader(connection).ReadBytes('\n')
		if err != nil {
			return
		}
		requests <- line
		var call request
		if err := json.Unmarshal(line, &call); err != nil || call.Command != "ADD" {
			fmt.Fprintln(connection, "{}")
			return
		}
		version, _ := (&cniversion.ConfigDecoder{}).Decode(call.Config)
		fmt.Fprintf(connection, "{\"result\":{\"cniVersion\":%q}}\n", version)
	})
	in, out := scratch(f), scratch(f)
	stdin, stdout := os.Stdin, os.Stdout
	f.Cleanup(func() { os.Stdin, os.Stdout = stdin, stdout })
	for name, value := range map[string]string{
		"CONTAINERID": "c1", "IFNAME": "net1", "PATH": "/opt/cni/bin", "NETNS": "/none", "ARGS": "",
	} {
		f.Setenv("CNI_"+name, value)
	}
	f.Fuzz(func(t *testing.T, input []byte, isAdd bool) {
		command := "DEL"
		if isAdd {
			command = "ADD"
		}
		os.Setenv("CNI_COMMAND", command)
		rewrite(t, in, input)
		rewrite(t, out, nil)
		os.Stdin, os.Stdout = in, out
		code := run(a)
		os.Stdin, os.Stdout = stdin, stdout
		if _, err := out.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		printed, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}

		asked := false
		select {
		case line := <-requests:
			asked = true
			var call request
			if err := json.Unmarshal(line, &call); err != nil || bytes.Count(line, []byte("\n")) != 1 {
				t.Fatalf("%q is not one line of JSON", line)
			}
			var whole bytes.Buffer
			if err := json.Compact(&whole, input); err != nil || !bytes.Equal(whole.Bytes(), call.Config) {
				t.Errorf("%q was sent as %q", input, call.Config)
			}
		default:
		}
		switch {
		case code == 0 && !asked:
			t.Errorf("success without the agent: %q", input)
		case code == 0 && !isAdd:
			if len(printed) != 0 {
				t.Errorf("DEL printed %q", printed)
			}
		case code == 0:
			wanted, _ := (&cniversion.ConfigDecoder{}).Decode(input)
			if got := document(t, printed)["cniVersion"]; got != wanted {
				t.Errorf("printed version %v, not %q", got, wanted)
			}
		default:
			if d := document(t, printed); d["msg"] == "" || d["code"] == nil {
				t.Errorf("printed %q", printed)
			}
		}
	})
}

func scratch(f *testing.F) *os.File {
	file, err := os.CreateTemp(f.TempDir(), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { file.Close() })
	return file
}

func rewrite(t *testing.T, file *os.File, content []byte) {
	t.Helper()
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
}
