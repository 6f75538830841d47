package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Root enters network namespaces on the word of whoever answers at the socket, and an ADD that a stranger answers would
// start a Pod without rules. So before connecting, socket and folder have to be such that only the owner can have made
// or replaced them; after connecting, the kernel tells who listens.

// trustPath looks at the folder first: what its writers can exchange need not be looked at. Links are not followed.
func trustPath(socket string, owner uint32) error {
	if err := ownedBy(filepath.Dir(socket), owner, os.ModeDir, "directory"); err != nil {
		return err
	}
	return ownedBy(socket, owner, os.ModeSocket, "socket")
}

func ownedBy(path string, owner uint32, kind os.FileMode, kindName string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != kind {
		return fmt.Errorf("%s is no %s", path, kindName)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("no owner is known")
	}
	if stat.Uid != owner {
		return fmt.Errorf("%s belongs to user %d, not %d", path, stat.Uid, owner)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s can be written by others than its owner: mode %#o", path, mode)
	}
	return nil
}

// trustPeer asks the kernel who called listen(2), see unix(7), SO_PEERCRED.
func trustPeer(connection *net.UnixConn, owner uint32) error {
	raw, err := connection.SyscallConn()
	if err != nil {
		return err
	}
	var peer *syscall.Ucred
	var asking error
	if err := raw.Control(func(fd uintptr) {
		peer, asking = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if asking != nil {
		return os.NewSyscallError("getsockopt", asking)
	}
	if peer.Uid != owner {
		return fmt.Errorf("user %d listens there, not %d", peer.Uid, owner)
	}
	return nil
}
