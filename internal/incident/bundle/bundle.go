package bundle

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // of the program that checks proofs
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/trace"
)

// Names of the files that others refer to.
const (
	Sums       = "SHA256SUMS"
	Signature  = "SHA256SUMS.sig"
	Page       = "README.txt"
	PublicKey  = "public.pem"
	proofsFile = "proofs.jsonl"
	checker    = "verify.py"
)

// File is one file of a bundle. Its name has slashes between folder and file, and is local.
type File struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// Entry is one fact about the account.
type Entry struct {
	Seq  uint64    `json:"seq"`            // of the record in the trace, from 1
	Part int       `json:"part,omitempty"` // of a record that holds several facts
	Fact fact.Fact `json:"fact"`
}

// Header is the header section of a message of the incident.
type Header struct {
	Queue mail.ID
	What  string // "held" or "purged"
	Text  string // lines as they came, without the empty one
}

// Contents is what a bundle is made of. All is needed but Notice.
type Contents struct {
	Incident incident.Incident
	Since    time.Time // of the first fact that is asked for
	Facts    []Entry   // in the order of the log
	Cut      bool      // there are more facts than these
	Headers  []Header
	MoreHeld int // messages whose header sections are left out

	Proofs   []trace.Proof // of the facts, all against one checkpoint; nil: there is no fact
	Text     []byte        // of that checkpoint
	Signed   []byte        // the bare signature of Text
	PEM      []byte        // the public key
	Public   string        // the same as a verifier key of signed notes
	Hostname mail.Domain
	Notice   string // the configured text for strangers
	Made     time.Time
}

//go:embed verify.py
var program []byte

// Files makes the files of a bundle, in the order of their names, without the manifest.
func Files(c Contents) ([]File, error) {
	proofs, err := c.proofs()
	if err != nil {
		return nil, err
	}
	about, err := json.MarshalIndent(c.Incident, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bundle: writing the incident: %w", err)
	}
	var facts []fact.Fact
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, e := range c.Facts {
		facts = append(facts, e.Fact)
		if err := enc.Encode(e); err != nil {
			return nil, fmt.Errorf("bundle: writing a fact: %w", err)
		}
	}
	all := []File{
		{"incident.json", append(about, '\n')},
		{"timeline.txt", []byte(fact.Timeline(facts, time.UTC))},
		{"timeline.jsonl", lines.Bytes()},
		{PublicKey, c.PEM}, {"public.txt", []byte(c.Public + "\n")}, {checker, program},
	}
	if len(c.Proofs) > 0 {
		all = append(all, File{proofsFile, proofs}, File{"checkpoint", c.Proofs[0].Checkpoint}, File{"checkpoint.txt", c.Text}, File{"checkpoint.sig", c.Signed})
	}
	for _, h := range c.Headers {
		all = append(all, File{"headers/" + h.What + "-" + h.Queue.String() + ".txt", []byte(h.Text[:min(len(h.Text), incident.MaxKeptHeader)] + "\r\n")})
	}
	reports, err := c.reports()
	if err != nil {
		return nil, err
	}
	all = append(all, reports...)
	all = append(all, File{Page, []byte(c.page(all))})
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Manifest lists the SHA-256 sums of files as sha256sum reads them. FIPS 180-4
func Manifest(files []File) []byte {
	var b bytes.Buffer
	for _, f := range files {
		sum := sha256.Sum256(f.Data)
		fmt.Fprintf(&b, "%s  %s\n", hex.EncodeToString(sum[:]), f.Name)
	}
	return b.Bytes()
}

// proofs writes one proof a line.
func (c Contents) proofs() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, p := range c.Proofs {
		if !bytes.Equal(p.Checkpoint, c.Proofs[0].Checkpoint) {
			return nil, errors.New("bundle: the proofs are of several checkpoints")
		}
		line := struct {
			Leaf uint64           `json:"leaf"`           // from 0: the sequence number less one
			Fact string           `json:"fact,omitempty"` // base64; "": it was forgotten by age
			Hash string           `json:"hash"`
			Path tlog.RecordProof `json:"path"`
		}{p.Seq - 1, base64.StdEncoding.EncodeToString(p.Fact), p.Hash.String(), p.Path}
		if err := enc.Encode(line); err != nil {
			return nil, fmt.Errorf("bundle: writing a proof: %w", err)
		}
	}
	return b.Bytes(), nil
}

// Fingerprint is the SHA-256 sum of the file with the public key: what is compared over the
// telephone.
func Fingerprint(pem []byte) string {
	sum := sha256.Sum256(pem)
	return hex.EncodeToString(sum[:])
}

// networkOf is the network that an address is reported with.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		bits = 48 // what one customer has at most. RFC 6177 §2
	}
	p, _ := a.Prefix(bits)
	return p
}
