package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	localsocket "sallyport/internal/local/socket"
	"sallyport/internal/operate/call"
)

// ErrNoServer means that no server listens at the socket.
var ErrNoServer = errors.New("no server is running")

// Dial returns a Client of the server at a socket; ErrNoServer where nothing listens,
// and another error where something does that cannot be asked, or that may be no server
// of ours (socket.ErrUntrusted): passwords go this way. It connects once to find out.
func Dial(ctx context.Context, path string) (*call.Client, error) {
	c, err := localsocket.Dial(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w at %s: %w", ErrNoServer, path, err)
	case err != nil:
		return nil, fmt.Errorf("the server's socket %s cannot be used: %w", path, err)
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return localsocket.Dial(ctx, path)
	}}
	return call.NewClient(transport), nil
}
