package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// reader is a client of IMAP that keeps nothing of what it is told.
type reader struct {
	nc net.Conn
	in *bufio.Reader
	n  int
}

// readTimeout bounds the wait for the answer to one command.
const readTimeout = 5 * time.Minute

// dialReader connects, and signs in.
func dialReader(ctx context.Context, addr string, cfg *tls.Config, user, password string, buffer int) (*reader, error) {
	var nc net.Conn
	var err error
	if cfg != nil {
		d := tls.Dialer{Config: cfg}
		nc, err = d.DialContext(ctx, "tcp", addr)
	} else {
		var d net.Dialer
		nc, err = d.DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	r := &reader{nc: nc, in: bufio.NewReaderSize(nc, buffer)}
	if err := r.await("* OK"); err != nil {
		return nil, r.fail(err)
	}
	if user == "" {
		return r, nil
	}
	if err := r.ask("LOGIN " + user + " " + password); err != nil {
		return nil, r.fail(err)
	}
	return r, nil
}

func (r *reader) fail(err error) error {
	_ = r.nc.Close()
	return err
}

// ask gives a command and reads its whole answer, which must be OK.
func (r *reader) ask(command string) error {
	r.n++
	tag := "t" + strconv.Itoa(r.n)
	if err := r.say(tag + " " + command + "\r\n"); err != nil {
		return err
	}
	return r.await(tag + " ")
}

func (r *reader) say(text string) error {
	if err := r.nc.SetDeadline(time.Now().Add(readTimeout)); err != nil {
		return err
	}
	_, err := io.WriteString(r.nc, text)
	return err
}

// append adds a message, without waiting for the go-ahead where that is not needed.
func (r *reader) append(folder string, message []byte) error {
	r.n++
	tag := "t" + strconv.Itoa(r.n)
	if err := r.say(fmt.Sprintf("%s APPEND %s {%d+}\r\n%s\r\n", tag, folder, len(message), message)); err != nil {
		return err
	}
	return r.await(tag + " ")
}

// await reads up to the line that begins so. A tagged one must be OK.
func (r *reader) await(prefix string) error {
	for begins := true; ; {
		line, err := r.in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			begins = false
			continue
		}
		if err != nil {
			return err
		}
		if begins && bytes.HasPrefix(line, []byte(prefix)) {
			if prefix[0] != '*' && prefix[0] != '+' && !bytes.HasPrefix(line[len(prefix):], []byte("OK")) {
				return fmt.Errorf("answered %q", strings.TrimSpace(string(line)))
			}
			return nil
		}
		n, literal := literalOf(line)
		if literal {
			if _, err := r.in.Discard(n); err != nil {
				return err
			}
		}
		begins = !literal
	}
}

// literalOf returns how many octets follow a line.
func literalOf(line []byte) (n int, ok bool) {
	line = bytes.TrimSuffix(line, []byte("}\r\n"))
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return 0, false
	}
	n, err := strconv.Atoi(string(line[open+1:]))
	return n, err == nil
}

// close ends the connection in order.
func (r *reader) close() {
	_ = r.ask("LOGOUT")
	_ = r.nc.Close()
}
