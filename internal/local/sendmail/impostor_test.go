package sendmail

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/local/socket"
	"sallyport/internal/local/socket/sockettest"
)

// Mail is told to the server alone: who puts a socket in its place while it is away gets
// no octet, and the caller keeps the message.
func TestAnImpostorHearsNothing(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sendmail.sock")
	heard := make(chan string, 2)
	sockettest.As(t, 4002, func() {
		ln, err := socket.Listen(path, 0o666)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "220 mx.local.test ESMTP account=<alice@local.test>\r\n")
				all, _ := io.ReadAll(c)
				heard <- string(all)
			}
		}()
	})
	for name, ask := range map[string]func() error{
		"send": func() error {
			_, err := Send(t.Context(), Options{Recipients: []string{"bob@local.test"}}, Caller{Socket: path}, strings.NewReader("Subject: secret\n\nx\n"))
			return err
		},
		"relay": func() error { return Relay(t.Context(), path, strings.NewReader("EHLO secret\r\n"), io.Discard) },
	} {
		err := ask()
		if codeFrom(err) != CodeTempFail || !strings.Contains(err.Error(), "may not be the server") || !strings.Contains(err.Error(), "nothing was sent") {
			t.Errorf("%s: %v", name, err)
		}
		if said := <-heard; said != "" {
			t.Errorf("%s: the impostor heard %q", name, said)
		}
	}
}
