// Command probe is the one program of the smoke test's Pods: a server that says who called, and small clients.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const usage = `probe serve NAME ADDRESS   answers HTTP with "NAME CALLER"
probe get URL              prints what that answers
probe resolve NAME         prints the addresses of a name
probe cat FILE             prints a file
probe link NAME            prints an interface's MTU, MAC and addresses
`

const patience = 2 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New(usage)
	}
	switch command, rest := args[0], args[1:]; command {
	case "serve":
		return serve(rest[0], rest[1])
	case "get":
		return get(rest[0])
	case "resolve":
		return resolve(rest[0])
	case "cat":
		content, err := os.ReadFile(rest[0])
		fmt.Print(string(content))
		return err
	case "link":
		return link(rest[0])
	default:
		return errors.New(usage)
	}
}

func serve(name, address string) error {
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s %s\n", name, caller)
	}))
}

func get(url string) error {
	client := http.Client{Timeout: patience}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func resolve(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	for _, address := range addresses {
		fmt.Println(address)
	}
	return err
}

func link(name string) error {
	found, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fmt.Println("mtu", found.MTU)
	fmt.Println("mac", found.HardwareAddr)
	addresses, err := found.Addrs()
	for _, address := range addresses {
		fmt.Println("address", address)
	}
	return err
}
