package call

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"sallyport/internal/store"
)

// Code says what kind of failure an Error is.
type Code string

// The kinds of failure.
const (
	CodeInvalid     Code = "invalid"     // the request makes no sense
	CodeNotFound    Code = "not-found"   // there is no such account or message
	CodeExists      Code = "exists"      // there is one already
	CodeForbidden   Code = "forbidden"   // the caller may not act here
	CodeUnavailable Code = "unavailable" // the disk is full or fails; try again
	CodeInternal    Code = "internal"    // anything else
)

// Error is the failure of an action, the same whether it ran here or in the server.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Error returns the message, written for a person.
func (e *Error) Error() string { return e.Message }

// Refused is what makes no sense, NotFound what is not there, Exists what is there already, Forbidden what
// the caller may not, Unavailable what may be tried again, and Internal whatever else fails, each in words.
func Refused(text string) *Error { return &Error{CodeInvalid, text} }

// NotFound says that something is not there.
func NotFound(text string) *Error { return &Error{CodeNotFound, text} }

// Exists says that something is there already.
func Exists(text string) *Error { return &Error{CodeExists, text} }

// Forbidden says that the caller may not act here.
func Forbidden(text string) *Error { return &Error{CodeForbidden, text} }

// Unavailable says that something may be tried again.
func Unavailable(text string) *Error { return &Error{CodeUnavailable, text} }

// Internal says what else failed.
func Internal(text string) *Error { return &Error{CodeInternal, text} }

// Invalid is what makes no sense, as an error of a room beneath says.
func Invalid(err error) error { return &Error{CodeInvalid, Words(err)} }

// Of is an error as a failure of that kind.
func Of(code Code, err error) *Error { return &Error{code, Words(err)} }

// status is the HTTP status of a code.
func (c Code) status() int {
	switch c {
	case CodeInvalid:
		return http.StatusBadRequest
	case CodeNotFound:
		return http.StatusNotFound
	case CodeExists:
		return http.StatusConflict
	case CodeForbidden:
		return http.StatusForbidden
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// write answers a request with a failure.
func (e *Error) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Code.status())
	_ = json.NewEncoder(w).Encode(last{Error: e})
}

// Explain says what kind of failure an error of the rooms beneath a topic is; nil: it is none of
// theirs.
type Explain func(error) *Error

// explained says what kind of failure an error is: the first that knows it says so.
func explained(err error, all []Explain) *Error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{e.Code, err.Error()}
	}
	for _, explain := range all {
		if e := explain(err); e != nil {
			return e
		}
	}
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Of(CodeUnavailable, err)
	}
	return Of(CodeInternal, err)
}

// ours are the names of packages that errors begin with.
var ours = []string{"accounts", "ca", "directory", "incident", "keyring", "roster", "spool", "store", "trace"}

// Words is the text of an error without the names of our packages, which tell a
// programmer where it comes from and everybody else nothing.
func Words(err error) string {
	return strings.Join(slices.DeleteFunc(strings.Split(err.Error(), ": "), func(s string) bool { return slices.Contains(ours, s) }), ": ")
}
