// Package geo looks up the autonomous system and the country of an address, in files of the
// MaxMind DB format.
//
// It promises that an address is looked up as what it is (IPv4 in IPv6 as IPv4), that what no
// file knows is told as nothing, that a file which changed is read anew while the server runs,
// and that a new file which cannot be read leaves the old one in use and is told.
package geo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"sallyport/internal/screen/access"
)

const (
	// maxOctets bounds one file, all of which is held in memory: a file that is mapped would
	// end the process when somebody writes into it.
	maxOctets = 512 << 20
	// lookEvery is how often the files are looked at.
	lookEvery = 30 * time.Second
)

// File is one file as it is in use.
type File struct {
	Path  string
	Type  string    // as it names itself
	Built time.Time // as it says
	Fault string    // why a newer one is not in use; "": there is none

	reader *maxminddb.Reader
	seen   stamp
}

// stamp tells one state of a file from another.
type stamp struct {
	at     time.Time
	octets int64
}

// Atlas is all files. It is safe for concurrent use; nil is one of no file.
type Atlas struct {
	log   *slog.Logger
	files []*atomic.Pointer[File]
}

// Open reads the files, in the order in which they are asked. The error says which cannot be
// read.
func Open(paths []string, log *slog.Logger) (*Atlas, error) {
	a := &Atlas{log: log}
	var errs []error
	for _, p := range paths {
		f, err := read(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		at := &atomic.Pointer[File]{}
		at.Store(f)
		a.files = append(a.files, at)
	}
	return a, errors.Join(errs...)
}

// read reads a file whole, and looks whether it holds what it says.
func read(path string) (*File, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxOctets:
		return nil, fmt.Errorf("%s: it is no file of at most %d MiB", path, maxOctets>>20)
	}
	octets, err := io.ReadAll(io.LimitReader(in, maxOctets))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r, err := maxminddb.OpenBytes(octets)
	if err == nil {
		err = walk(r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: it is no MaxMind DB: %w", path, err)
	}
	return &File{Path: path, Type: r.Metadata.DatabaseType, Built: r.Metadata.BuildTime(), reader: r, seen: stamp{info.ModTime(), info.Size()}}, nil
}

// decodeEach is of how many records one is decoded when a file is read: all of a large one take
// seconds.
const decodeEach = 16

// walk goes through the whole tree of a file, so that a damaged one is not taken for one that
// knows little. What the library verifies beyond that, many makers leave out.
func walk(r *maxminddb.Reader) error {
	n := 0
	for found := range r.Networks() {
		if err := found.Err(); err != nil {
			return err
		}
		if n++; n%decodeEach == 1 {
			var record any
			if err := found.Decode(&record); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return errors.New("it says nothing of any network")
	}
	return nil
}

// Lookup returns where an address belongs, by the first file that knows.
func (a *Atlas) Lookup(ip netip.Addr) (p access.Place) {
	if a == nil || !ip.IsValid() {
		return p
	}
	ip = ip.Unmap().WithZone("")
	for _, f := range a.files {
		r := f.Load().reader
		if ip.Is6() && r.Metadata.IPVersion == 4 {
			continue
		}
		found := r.Lookup(ip)
		if !found.Found() {
			continue
		}
		if p.AS == 0 {
			p.AS = system(found)
		}
		if p.Country == "" {
			p.Country = country(found)
		}
	}
	return p
}

// system reads the autonomous system of a record, a number in one form and "AS64500" in
// another.
func system(r maxminddb.Result) uint32 {
	var n uint32
	if r.DecodePath(&n, "autonomous_system_number") == nil && n != 0 {
		return n
	}
	if r.DecodePath(&n, "asn") == nil && n != 0 {
		return n
	}
	var text string
	if r.DecodePath(&text, "asn") != nil {
		return 0
	}
	v, _ := access.ParseAS(text)
	return v
}

// country reads the country of a record: where it is in one form, a map with its code, and in
// others the code itself.
func country(r maxminddb.Result) string {
	for _, path := range [][]any{{"country", "iso_code"}, {"country_code"}, {"country"}, {"registered_country", "iso_code"}} {
		var text string
		if r.DecodePath(&text, path...) == nil && access.IsCountry(text) {
			return text
		}
	}
	return ""
}

// Files returns the files as they are in use.
func (a *Atlas) Files() (all []File) {
	if a == nil {
		return nil
	}
	for _, f := range a.files {
		all = append(all, *f.Load())
	}
	return all
}

// Reread takes in the files that have changed since they were read. One that cannot be read
// is told once for each change, and the old one stays.
func (a *Atlas) Reread() {
	if a == nil {
		return
	}
	for _, at := range a.files {
		old := at.Load()
		info, err := os.Stat(old.Path)
		now := stamp{}
		if err == nil {
			now = stamp{info.ModTime(), info.Size()}
		}
		if now == old.seen {
			continue
		}
		next, err := read(old.Path)
		if err == nil {
			at.Store(next)
			a.log.Info("a file of networks was read anew", "file", next.Path)
			continue
		}
		kept := *old
		kept.Fault, kept.seen = err.Error(), now
		at.Store(&kept)
		a.log.Error("a file of networks cannot be read; the one before stays in use", "file", old.Path, "err", err)
	}
}

// Watch rereads what now returns, which may change, until ctx ends.
func Watch(ctx context.Context, now func() *Atlas) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
			now().Reread()
		}
	}
}
