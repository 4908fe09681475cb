package call

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Names of an archive's own members. The last one tells that the archive is whole.
const (
	archiveHead = "head"
	archiveEnd  = "end"
)

// Archive is an answer as a tar archive: a head, members, and an end. What an error
// leaves behind has no end, or one that names the error.
type Archive struct {
	*tar.Writer
	explain []Explain
}

func newArchive(w io.Writer, explain []Explain) *Archive { return &Archive{tar.NewWriter(w), explain} }

// Head begins the archive.
func (a *Archive) Head(v any) error { return a.Small(archiveHead, v) }

// Small writes a value as a member.
func (a *Archive) Small(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(b))}); err != nil {
		return err
	}
	_, err = a.Write(b)
	return err
}

// End ends the archive, as a whole one or with what went wrong, which it returns.
func (a *Archive) End(err error) error {
	end := last{End: err == nil}
	if err != nil {
		end.Error = explained(err, a.explain)
	}
	// In the middle of a member no end can be written; the archive then just stops.
	return errors.Join(err, a.Small(archiveEnd, end), a.Close())
}

// Arriving is an archive on its way from a server.
type Arriving struct {
	what string // in words
	tar  *tar.Reader
	body io.Closer
}

// Arrive calls an action that answers with an archive, and reads its head. What it is, such as
// "backup", is said where it is none.
func Arrive(ctx context.Context, c *Client, action string, q any, what string, head any) (*Arriving, error) {
	resp, err := c.post(ctx, action, q)
	if err != nil {
		return nil, err
	}
	a := &Arriving{what: what, tar: tar.NewReader(resp.Body), body: resp.Body}
	h, err := a.tar.Next()
	if err == nil && h.Name != archiveHead {
		err = fmt.Errorf("it begins with %q", h.Name)
	}
	if err == nil {
		err = json.NewDecoder(a.tar).Decode(head)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server's answer is no %s: %w", what, err), resp.Body.Close())
	}
	return a, nil
}

// Next returns the next member; without a header, the archive has come to its end.
func (a *Arriving) Next() (h *tar.Header, content io.Reader, err error) {
	if h, err = a.tar.Next(); err != nil {
		return nil, nil, fmt.Errorf("the %s ended early; the server's log says why: %w", a.what, err)
	}
	if h.Name == archiveEnd {
		return nil, nil, nil
	}
	return h, a.tar, nil
}

// Each calls fn with each member. Only when it returns nil was the archive whole.
func (a *Arriving) Each(fn func(h *tar.Header, content io.Reader) error) error {
	for {
		h, content, err := a.Next()
		switch {
		case err != nil:
			return err
		case h == nil:
			return a.End()
		}
		if err := fn(h, content); err != nil {
			return err
		}
	}
}

// End reads the end that Next came to, and says whether the archive was whole.
func (a *Arriving) End() error {
	var end last
	switch err := json.NewDecoder(a.tar).Decode(&end); {
	case err != nil:
		return err
	case end.Error != nil:
		return end.Error
	case !end.End:
		return errors.New("the " + a.what + "'s end is none")
	}
	return nil
}

// Close ends the reading.
func (a *Arriving) Close() error { return a.body.Close() }
