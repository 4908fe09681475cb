package call

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sallyport/internal/mail"
)

const (
	// MaxRequest is the largest request in octets: a pasted bounce with its headers.
	MaxRequest = 1 << 20
	// lineTime is how long a reader of a listing may take for what is written at once.
	lineTime = 30 * time.Second
	// TellEvery is how often somebody hears how far much work came, and what comes slowly is handed on.
	TellEvery = 200 * time.Millisecond
)

// Routes lead requests to the actions of topics.
type Routes struct {
	mux     *http.ServeMux
	explain []Explain
}

// NewRoutes returns Routes whose failures are explained by the topics, the first that knows one.
func NewRoutes(explain ...Explain) *Routes { return &Routes{http.NewServeMux(), explain} }

// ServeHTTP answers a request.
func (r *Routes) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.mux.ServeHTTP(w, q) }

// Otherwise refuses every action that has no route, with why.
func (r *Routes) Otherwise(why *Error) {
	r.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { why.write(w) })
}

// Telling does what Otherwise does, once somebody was told who asked for which action.
func (r *Routes) Telling(why *Error, tell func(ctx context.Context, by Caller, action string)) {
	r.mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		tell(q.Context(), callerOf(q.Context()), mail.Printable(strings.TrimPrefix(q.URL.Path, actionPath), mail.PieceShown))
		why.write(w)
	})
}

// actionPath is what paths of actions begin with.
const actionPath = "/v1/"

func (r *Routes) fail(w http.ResponseWriter, err error) { explained(err, r.explain).write(w) }

// Action is an action that returns one value.
type Action[Q, A any] = func(context.Context, Caller, Q) (A, error)

// Listed is an action that calls a function for each of many values.
type Listed[Q, A any] = func(context.Context, Caller, Q, func(A) error) error

// Answer serves an action that returns one value.
func Answer[Q, A any](routes *Routes, name string, act Action[Q, A]) {
	routes.mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		q, err := request[Q](r)
		if err != nil {
			routes.fail(w, err)
			return
		}
		unhurried(http.NewResponseController(w))
		a, err := act(r.Context(), callerOf(r.Context()), q)
		routes.answer(w, a, err)
	})
}

func (r *Routes) answer(w http.ResponseWriter, a any, err error) {
	if err != nil {
		r.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// An error here is the client's going away.
	_ = json.NewEncoder(w).Encode(a)
}

// last is the last line of a listing.
type last struct {
	End   bool   `json:"end,omitempty"`
	Error *Error `json:"error,omitempty"`
}

// Listing serves an action that returns many values, one a line.
func Listing[Q, A any](routes *Routes, name string, act Listed[Q, A]) {
	routes.mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		q, err := request[Q](r)
		if err != nil {
			routes.fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		control, enc := http.NewResponseController(w), json.NewEncoder(w)
		unhurried(control)
		begun, flushed := false, time.Now()
		err = act(r.Context(), callerOf(r.Context()), q, func(a A) error {
			begun = true
			// In-process writers know no deadline; a socket does.
			_ = control.SetWriteDeadline(time.Now().Add(lineTime))
			err := enc.Encode(struct {
				Item A `json:"item"`
			}{a})
			if err == nil && time.Since(flushed) >= TellEvery {
				// What comes slowly is seen as it comes; in-process writers keep nothing back.
				_, flushed = control.Flush(), time.Now()
			}
			return err
		})
		switch {
		case err == nil:
			_ = enc.Encode(last{End: true})
		case begun:
			_ = enc.Encode(last{Error: explained(err, routes.explain)})
		default:
			routes.fail(w, err)
		}
	})
}

// Archiving serves an action that answers with an archive.
func Archiving[Q any](routes *Routes, name string, act func(context.Context, Caller, Q, *Archive) error) {
	routes.mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		q, err := request[Q](r)
		if err != nil {
			routes.fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/x-tar")
		out := &patient{w: w, control: http.NewResponseController(w)}
		unhurried(out.control)
		if err := act(r.Context(), callerOf(r.Context()), q, newArchive(out, routes.explain)); err != nil && !out.begun {
			routes.fail(w, err)
		}
	})
}

// Taking serves an action that reads its request by itself, for as long as it takes.
func Taking[A any](routes *Routes, name string, act func(context.Context, Caller, io.Reader) (A, error)) {
	routes.mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		unhurried(http.NewResponseController(w))
		a, err := act(r.Context(), callerOf(r.Context()), r.Body)
		routes.answer(w, a, err)
	})
}

// request reads the whole request as a Q; unknown fields are refused, so that an
// older server never ignores what a newer client asks for.
func request[Q any](r *http.Request) (q Q, err error) {
	dec := json.NewDecoder(http.MaxBytesReader(nil, r.Body, MaxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		return q, Unread(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return q, Refused("something follows the request")
	}
	return q, nil
}

// Unread says why a request does not read.
func Unread(err error) error { return Invalid(fmt.Errorf("the request does not read: %w", err)) }

// patient gives each write its own time, so that a reader may be slow, but not stop.
type patient struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Write writes to the response.
func (p *patient) Write(b []byte) (int, error) {
	p.begun = true
	_ = p.control.SetWriteDeadline(time.Now().Add(lineTime))
	return p.w.Write(b)
}

// unhurried lifts the time that a request has to arrive, once it is there: the server
// takes its end for the client's going away, and ends the action. In-process writers
// know no deadline.
func unhurried(c *http.ResponseController) { _ = c.SetReadDeadline(time.Time{}) }
