package doctor

import (
	"fmt"
	"strings"
	"time"
)

// checkDirectories tells of directories that accounts and recipients come from.
func checkDirectories(f Facts) (all []Finding) {
	for _, d := range f.Directories {
		add := func(s State, what, remedy string) {
			all = append(all, Finding{"directory", d.Name + " at " + d.Server, s, what, remedy})
		}
		switch {
		case d.Failed != "":
			add(Wrong, d.Failed+" fails: "+d.Error, directoryRemedy(d.Failed))
		case !d.Found:
			add(Warning, "no entry below the base passes the filter and has an address",
				"look at base, filter and address of its table, and at what its bind_dn may read")
		default:
			add(Fine, "answers, and has people", "")
		}
		if d.Failed == "" && !d.Pages {
			add(Warning,
				"gives no lists in pages: one that is longer than its limit of entries is never whole",
				"raise its limit for bind_dn")
		}
		if d.Failed == "" && !d.Policy {
			add(Note,
				"tells nothing of password policies: that a password has expired is seen as a wrong one, unless it is Active Directory, which says so in another way",
				"with OpenLDAP, load the overlay ppolicy")
		}
		if d.Clear {
			add(Note, "is asked without TLS", "nothing, as long as it runs on this host")
		}
		all = append(all, checkLists(f, d)...)
	}
	return all
}

// directoryRemedy says what helps where a step fails.
func directoryRemedy(step string) string {
	switch step {
	case "connect":
		return "look whether the directory runs and lets this host in; until it does nobody signs in with its passwords (454), and the last good list stays"
	case "TLS":
		return "name in urls the host that its certificate is for, and in ca the authority that signed it; ldap:// needs StartTLS"
	case "bind":
		return "look at bind_dn and password_file; result 49: one of them is wrong"
	case "base":
		return "look at base; result 32: there is no such entry, or bind_dn may not see it"
	}
	return "look at what bind_dn may read; result 50: it may not search"
}

// listOld is when a list is old enough for somebody to look.
const listOld = 24 * time.Hour

// checkLists tells what the server has of a directory.
func checkLists(f Facts, d DirectoryFacts) (all []Finding) {
	add := func(s State, what, remedy string) {
		all = append(all, Finding{"directory", d.Name, s, what, remedy})
	}
	if !d.Known {
		return nil
	}
	switch {
	case d.Listed.IsZero() && f.Server.Running:
		add(Wrong, "was never listed, so that nobody knows who exists: mail for its domains is told to come back (451)", because(d.Fault))
	case d.Fault != "" && f.Now.Sub(d.Listed) > listOld:
		add(Wrong, "the last good list is of "+d.Listed.UTC().Format(time.DateOnly), because(d.Fault))
	case d.Fault != "":
		add(Warning, "the last list was not taken in, and the one before stays: "+d.Fault,
			"the guide of this directory says what each error means")
	}
	if n := len(d.Disputed); n > 0 {
		add(Wrong,
			fmt.Sprintf("lists accounts that come from elsewhere too, so that they can do nothing: %s", strings.Join(d.Disputed, ", ")),
			"remove each in one place: sallyport account rm ADDRESS, or its address in the directory")
	}
	if n := len(d.Doubtful); n > 0 {
		add(Warning, "it is not clear whose these are: "+strings.Join(d.Doubtful, "; "),
			"give each address to one entry, and each entry one address of its own")
	}
	return all
}

func because(fault string) string {
	if fault == "" {
		return "look again in a minute"
	}
	return "the last attempt: " + fault
}
