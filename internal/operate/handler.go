package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// MaxRequest is the largest request in octets: a pasted bounce with its headers.
const MaxRequest = 1 << 20

// lineTime is how long a reader of a listing may take for what is written at once.
const lineTime = 30 * time.Second

type callerKey struct{}

// refusalKey is for the *Error that a connection is refused with.
type refusalKey struct{}

// WithCaller returns a context that says who acts. Only what asked the kernel may
// call it.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// Handler serves the actions of op to callers that are root or owner, the user
// whom the data folder belongs to.
func Handler(op *Operator, owner uint32) http.Handler {
	mux := http.NewServeMux()
	answer(mux, "account.add", op.AccountAdd)
	answer(mux, "account.passwd", op.AccountPassword)
	answer(mux, "account.set", op.AccountSet)
	answer(mux, "account.freeze", op.AccountFreeze)
	answer(mux, "account.thaw", op.AccountThaw)
	answer(mux, "account.rm", op.AccountRemove)
	answer(mux, "account.rename", op.AccountRename)
	answer(mux, "account.show", op.AccountShow)
	listing(mux, "account.ls", op.AccountList)
	credentialRoutes(mux, op)
	handleDirectory(mux, op)
	handleBinding(mux, op)
	listing(mux, "queue.ls", op.QueueList)
	answer(mux, "queue.show", op.QueueShow)
	listing(mux, "queue.summary", op.QueueSummary)
	listing(mux, "queue.read", op.QueueRead)
	answer(mux, "queue.redirect", op.QueueRedirect)
	changes(mux, "queue.hold", op.QueueHold)
	changes(mux, "queue.release", op.QueueRelease)
	changes(mux, "queue.retry", op.QueueRetry)
	changes(mux, "queue.rm", op.QueueRemove)
	signingKeyRoutes(mux, op)
	calloutRoutes(mux, op)
	damageRoutes(mux, op)
	screenRoutes(mux, op)
	incidentRoutes(mux, op)
	answer(mux, "learn", op.Learn)
	incidentExportRoutes(mux, op)
	answer(mux, "trace", op.Trace)
	listing(mux, "trace.summary", op.TraceSummary)
	listing(mux, "sessions", op.Sessions)
	mailboxRoutes(mux, op)
	answer(mux, "trace.verify", op.TraceVerify)
	answer(mux, "status", op.Status)
	streaming(mux, "backup", op.Backup)
	answer(mux, "reload", op.Reload)
	return admitting(mux, owner, mayAct)
}

// admitting lets nobody through whom may refuses.
func admitting(next http.Handler, owner uint32, may func(c Caller, owner uint32) *Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused, ok := r.Context().Value(refusalKey{}).(*Error); ok {
			fail(w, refused)
			return
		}
		if err := may(callerOf(r.Context()), owner); err != nil {
			fail(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mayAct refuses whom the kernel did not name, and who is neither root nor the owner.
func mayAct(c Caller, owner uint32) *Error {
	if c.Known && (c.UID == 0 || c.UID == owner) {
		return nil
	}
	return &Error{CodeForbidden, fmt.Sprintf("only root and the server's own user (uid %d) may do this", owner)}
}

func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// answer serves an action that returns one value.
func answer[Q, A any](mux *http.ServeMux, name string, act func(context.Context, Caller, Q) (A, error)) {
	mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		q, err := request[Q](r)
		if err != nil {
			fail(w, err)
			return
		}
		unhurried(http.NewResponseController(w))
		a, err := act(r.Context(), callerOf(r.Context()), q)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// An error here is the client's going away.
		_ = json.NewEncoder(w).Encode(a)
	})
}

// last is the last line of a listing.
type last struct {
	End   bool   `json:"end,omitempty"`
	Error *Error `json:"error,omitempty"`
}

// listing serves an action that returns many values, one a line.
func listing[Q, A any](mux *http.ServeMux, name string, act func(context.Context, Caller, Q, func(A) error) error) {
	mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		q, err := request[Q](r)
		if err != nil {
			fail(w, err)
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
			if err == nil && time.Since(flushed) >= tellEvery {
				// What comes slowly is seen as it comes; in-process writers keep nothing back.
				_, flushed = control.Flush(), time.Now()
			}
			return err
		})
		switch {
		case err == nil:
			_ = enc.Encode(last{End: true})
		case begun:
			_ = enc.Encode(last{Error: asError(err)})
		default:
			fail(w, err)
		}
	})
}

// request reads the whole request as a Q; unknown fields are refused, so that an
// older server never ignores what a newer client asks for.
func request[Q any](r *http.Request) (q Q, err error) {
	dec := json.NewDecoder(http.MaxBytesReader(nil, r.Body, MaxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		return q, invalid(fmt.Errorf("the request does not read: %w", err))
	}
	if _, err := dec.Token(); err != io.EOF {
		return q, invalid(errText("something follows the request"))
	}
	return q, nil
}

func fail(w http.ResponseWriter, err error) {
	e := asError(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Code.status())
	_ = json.NewEncoder(w).Encode(last{Error: e})
}

// Self is the process itself as a caller.
func Self() Caller { return Caller{UID: uint32(os.Geteuid()), Known: true} }
