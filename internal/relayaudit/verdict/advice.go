package verdict

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
)

//go:embed advice.txt
var adviceText string

// ErrAdvice wraps every fault of the texts.
var ErrAdvice = errors.New("verdict: bad advice")

// Mend is how something is mended in one server.
type Mend struct {
	In  string `json:"in"`
	How string `json:"how"`
}

// servers are those in which each fault can be mended, in the order of a report.
var servers = [...]string{"Postfix", "Exim", "Sendmail", "OpenSMTPD", "Exchange", "sallyport"}

// text is what a check says.
type text struct {
	title, why string
	mend       []Mend
}

// advice returns the texts of all checks.
func advice() (map[string]text, error) { return parseAdvice(adviceText) }

// parseAdvice reads the form that the head of advice.txt explains. A check says for each server
// how it is mended, or for none where there is nothing to mend.
func parseAdvice(s string) (map[string]text, error) {
	all := map[string]text{}
	name, now := "", text{}
	end := func() error {
		if name == "" {
			return nil
		}
		if _, twice := all[name]; twice || now.title == "" || now.why == "" || len(now.mend) != len(servers) && len(now.mend) > 0 {
			return fmt.Errorf("%w: [%s] stands twice or lacks a field", ErrAdvice, name)
		}
		all[name] = now
		return nil
	}
	for i, line := range strings.Split(s, "\n") {
		switch {
		case line == "", strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "["):
			if err := end(); err != nil {
				return nil, err
			}
			name, now = strings.Trim(line, "[]"), text{}
			continue
		}
		key, value, found := strings.Cut(line, ": ")
		switch {
		case found && key == "title":
			now.title = value
		case found && key == "why":
			now.why = value
		case found && len(now.mend) < len(servers) && key == servers[len(now.mend)]:
			now.mend = append(now.mend, Mend{key, value})
		default:
			return nil, fmt.Errorf("%w: line %d: %q is no field in its place", ErrAdvice, i+1, key)
		}
	}
	return all, end()
}
