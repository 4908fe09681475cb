package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport/internal/incident/bundle"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/kit/timespan"
	"sallyport/internal/kit/words"
	"sallyport/internal/operate"
)

type incidentExport struct {
	incidentArg
	To    string         `required:"" placeholder:"DIR|FILE.zip" help:"A folder that is empty or not there yet, or a zip file that is not there yet."`
	Since timespan.Since `placeholder:"WHEN" help:"What happened since this day or minute, or since so long ago, instead of since the incident began."`
}

// Help shows examples.
func (incidentExport) Help() string {
	return `Writes what a provider, a lawyer or the police is given: the timeline, header sections,
proofs from the trace, reports for the networks that it came from, all signed, and a page
that says how it is checked without this server. Nothing is sent.

Examples:
  sallyport incident export 7 --to /root/incident-7
  sallyport incident export 7 --since 2026-11-01 --to incident-7.zip`
}

// Run exports an incident.
func (i incidentExport) Run(ctx context.Context, c console) error {
	if err := i.free(); err != nil {
		return err
	}
	var files []bundle.File
	err := i.operate(ctx, c, func(o *operate.Client) error {
		return o.IncidentExport(ctx, operate.IncidentExport{Number: i.Number, Since: i.Since.From(time.Now())}, func(f bundle.File) error {
			if !filepath.IsLocal(f.Name) {
				return fmt.Errorf("the server names a file %q, which leads out of the bundle", f.Name)
			}
			files = append(files, f)
			return nil
		})
	})
	if err == nil {
		err = i.write(files)
	}
	if err != nil {
		return err
	}
	return i.say(c, files)
}

// zipped reports whether one file is wanted.
func (i incidentExport) zipped() bool { return strings.HasSuffix(strings.ToLower(i.To), ".zip") }

// free makes sure that nothing is overwritten, and nothing old mixed with evidence.
func (i incidentExport) free() error {
	if i.zipped() {
		if _, err := os.Lstat(i.To); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already; name a file that is not", i.To)
		}
		return nil
	}
	list, err := os.ReadDir(i.To)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(list) > 0:
		return fmt.Errorf("%s is not empty; name a folder that is empty or not there", i.To)
	}
	return nil
}

func (i incidentExport) write(files []bundle.File) error {
	if i.zipped() {
		return writeZip(i.To, files)
	}
	for _, f := range files {
		if err := writeEvidence(filepath.Join(i.To, filepath.FromSlash(f.Name)), f.Data); err != nil {
			// A part of the evidence is none, and would be in the way of the next attempt.
			return errors.Join(fmt.Errorf("nothing was exported: %w", err), emptyAgain(i.To))
		}
	}
	return nil
}

func writeEvidence(path string, data []byte) error {
	if err := safefile.MakeDir(filepath.Dir(path)); err != nil {
		return err
	}
	return safefile.Create(path, data, evidenceMode)
}

// evidenceMode is that of files that name people and whom they wrote to.
const evidenceMode = 0o600

func writeZip(path string, files []bundle.File) error {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		part, err := w.Create(f.Name)
		if err != nil {
			return err
		}
		if _, err := part.Write(f.Data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return safefile.Create(path, b.Bytes(), evidenceMode)
}

// say tells what was written, and the sum of the key that others compare.
func (i incidentExport) say(c console, files []bundle.File) error {
	told := struct {
		To     string   `json:"to"`
		Key    string   `json:"key_sha256"`
		Files  []string `json:"files"`
		Number uint64   `json:"number"`
	}{To: i.To, Number: i.Number}
	for _, f := range files {
		told.Files = append(told.Files, f.Name)
		if f.Name == bundle.PublicKey {
			told.Key = bundle.Fingerprint(f.Data)
		}
	}
	if i.JSON {
		return printJSON(c.out, told)
	}
	c.prose("incident %d is written to %s, %s, and signed\n", i.Number, i.To, words.Count(len(files), "file"))
	c.prose("%s says how it is checked; tell whoever gets it the sum of %s by another way:\n  %s\n",
		bundle.Page, bundle.PublicKey, told.Key)
	c.prose("Nothing was sent. The reports for networks are in abuse/; take out the owner's own before you send any.\n")
	return nil
}
