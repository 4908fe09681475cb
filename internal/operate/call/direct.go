package call

import (
	"io"
	"net/http"
	"strconv"
	"sync"
)

// Direct returns a Client of a handler in this process, acting as its user.
func Direct(h http.Handler) *Client { return NewClient(direct{h}) }

// direct serves requests with a handler of this process, so that an action works
// the same with and without a server. The response streams: what is written is
// read before more is written.
type direct struct {
	handler http.Handler
}

// InServer reports whether a server that runs answers, and not this process itself.
func (c *Client) InServer() bool {
	_, here := c.over.Transport.(direct)
	return !here
}

// RoundTrip runs the handler until its header is written.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	body, pipe := io.Pipe()
	w := &directWriter{header: http.Header{}, pipe: pipe, status: make(chan int, 1)}
	// A reader that goes away ends the handler by the error of its next write.
	go func() {
		d.handler.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), Self())))
		w.WriteHeader(http.StatusOK)
		pipe.Close()
	}()
	select {
	case status := <-w.status:
		return &http.Response{
			StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status),
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header.Clone(), Body: body, Request: r, ContentLength: -1,
		}, nil
	case <-r.Context().Done():
		body.CloseWithError(r.Context().Err()) // so that the handler's writes fail
		return nil, r.Context().Err()
	}
}

type directWriter struct {
	header http.Header
	pipe   *io.PipeWriter
	once   sync.Once
	status chan int
}

// Header returns the header to write.
func (w *directWriter) Header() http.Header { return w.header }

// WriteHeader lets RoundTrip return; later calls do nothing.
func (w *directWriter) WriteHeader(status int) { w.once.Do(func() { w.status <- status }) }

// Write hands b to the reader of the response.
func (w *directWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}
