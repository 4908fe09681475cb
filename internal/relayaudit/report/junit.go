package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// suites and what is below are the JUnit form that CI servers read: one suite for each server,
// one case for each door's verdict and for each finding.
type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Suites   []suite  `xml:"testsuite"`
}

type suite struct {
	Name      string     `xml:"name,attr"`
	Tests     int        `xml:"tests,attr"`
	Failures  int        `xml:"failures,attr"`
	Errors    int        `xml:"errors,attr"`
	Skipped   int        `xml:"skipped,attr"`
	Time      string     `xml:"time,attr"`
	Timestamp string     `xml:"timestamp,attr"`
	Cases     []testcase `xml:"testcase"`
}

type testcase struct {
	Class   string `xml:"classname,attr"`
	Name    string `xml:"name,attr"`
	Failure *fault `xml:"failure"`
	Error   *fault `xml:"error"`
	Skipped *fault `xml:"skipped"`
}

type fault struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// JUnit writes the report as JUnit XML. A hole is a failure, and so is a weakness if strict;
// what could not be told is skipped; what could not be audited is an error.
func (r Run) JUnit(w io.Writer, strict bool) error {
	all := suites{Name: "sallyport audit: " + r.Summary}
	for _, s := range r.Servers {
		one := s.suite(strict)
		one.Timestamp = strings.TrimSuffix(r.Began, "Z")
		all.Tests, all.Failures = all.Tests+one.Tests, all.Failures+one.Failures
		all.Suites = append(all.Suites, one)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s Server) suite(strict bool) suite {
	out := suite{Name: s.Asked, Time: fmt.Sprintf("%.2f", s.Seconds)}
	if s.Refused != "" {
		out.Cases = append(out.Cases, testcase{Class: s.Asked, Name: "may be audited", Error: &fault{Message: s.Refused, Text: s.Advice}})
	}
	for _, d := range s.Doors {
		c := testcase{Class: s.Asked, Name: "relays: " + d.At + " " + d.Kind}
		switch d.Verdict {
		case "open":
			c.Failure = &fault{Message: "it relays: " + d.forms(), Type: "open"}
		case "cant-tell":
			c.Skipped = &fault{Message: "can't tell without --deliver: " + d.forms()}
		case "unreached":
			c.Skipped = &fault{Message: "not reached: " + d.Fault}
		}
		out.Cases = append(out.Cases, c)
	}
	for _, f := range s.Findings {
		c := testcase{Class: s.Asked, Name: f.Check + ": " + strings.TrimSpace(f.Title+" "+f.Detail)}
		switch {
		case f.Grade == "hole", strict && f.Grade == "weakness":
			c.Failure = &fault{Message: f.Title, Type: f.Grade, Text: f.lines()}
		case f.Grade == "unknown":
			c.Skipped = &fault{Message: f.Title}
		}
		out.Cases = append(out.Cases, c)
	}
	for _, c := range out.Cases {
		out.Tests++
		switch {
		case c.Failure != nil:
			out.Failures++
		case c.Error != nil:
			out.Errors++
		case c.Skipped != nil:
			out.Skipped++
		}
	}
	return out
}

func (f Finding) lines() string {
	var b strings.Builder
	f.text(&b, true)
	return b.String()
}
