package operate

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/accounts"
	"sallyport/internal/ca"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// Code says what kind of failure an Error is.
type Code string

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

// asError maps what the rooms below fail with.
func asError(err error) *Error {
	var e *Error
	var refused *book.Refused
	var taken *accounts.TakenError
	switch {
	case errors.As(err, &e):
		return &Error{e.Code, err.Error()}
	case errors.As(err, &refused):
		return &Error{CodeInvalid, refused.Error()}
	case errors.As(err, &taken):
		return &Error{CodeExists, words(err) + insteadOf(taken)}
	}
	code := CodeInternal
	switch {
	case errors.Is(err, accounts.ErrNoSuch), errors.Is(err, spool.ErrNotFound), errors.Is(err, roster.ErrNoSuch):
		code = CodeNotFound
	case errors.Is(err, accounts.ErrExists):
		code = CodeExists
	case errors.Is(err, accounts.ErrInvalid), errors.Is(err, accounts.ErrPassword), errors.Is(err, accounts.ErrFull), errors.Is(err, ca.ErrRequest), errors.Is(err, ca.ErrTooLong), errors.Is(err, roster.ErrFull):
		code = CodeInvalid
	case errors.Is(err, spool.ErrUnavailable), errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		code = CodeUnavailable
	}
	return &Error{code, words(err)}
}

func invalid(err error) error { return &Error{CodeInvalid, words(err)} }

// insteadOf says what to do where a name is taken.
func insteadOf(t *accounts.TakenError) string {
	switch {
	case t.Name == "":
		return ""
	case t.Kind == accounts.KindCertificate:
		return "; one that takes its place: sallyport cert renew ADDRESS " + mail.Word(t.Name)
	}
	return "; take another name, or revoke it first: sallyport account app rm ADDRESS " + mail.Word(t.Name)
}

// ours are the names of packages that errors begin with.
var ours = []string{"accounts", "ca", "directory", "incident", "keyring", "roster", "spool", "store", "trace"}

// words is the text of an error without the names of our packages, which tell a
// programmer where it comes from and everybody else nothing.
func words(err error) string {
	return strings.Join(slices.DeleteFunc(strings.Split(err.Error(), ": "), func(s string) bool { return slices.Contains(ours, s) }), ": ")
}

type errText string

func (e errText) Error() string { return string(e) }

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
