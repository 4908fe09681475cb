package migrate

import (
	"strconv"
	"strings"
)

// bound is a number of Postfix that has a key here.
type bound struct {
	name     string // of Postfix
	key      string // here
	least    int64
	most     int64
	unit     string // of a bare number, for a duration: s, m, h, d or w; "": it is no duration
	limitsIn string // the table of the key
}

// bounds lists them. postconf(5).
func bounds() []bound {
	const day = 86400
	return []bound{
		{"message_size_limit", "message_size", 64 << 10, 2 << 30, "", "limits"},
		{"header_size_limit", "header_size", 16 << 10, 16 << 20, "", "limits"},
		{"hopcount_limit", "hops", 10, 200, "", "limits"},
		{"smtpd_recipient_limit", "recipients", 100, 2000, "", "limits"},
		{"smtpd_client_connection_count_limit", "connections_per_network", 1, 100000, "", "limits"},
		{"virtual_alias_expansion_limit", "alias_targets", 1, 2000, "", "limits"},
		{"default_destination_concurrency_limit", "deliveries_per_domain", 1, 10000, "", "limits"},
		{"qmgr_message_active_limit", "active_messages", 1, 100000, "", "limits"},
		{"smtpd_hard_error_limit", "errors", 1, 1000, "", "limits"},
		{"smtpd_junk_command_limit", "junk_commands", 10, 10000, "", "limits"},
		{"queue_minfree", "min_free", 1 << 20, 1 << 40, "", "limits"},
		{"minimal_backoff_time", "first", 1, day, "s", "retry"},
		{"maximal_backoff_time", "max", 1, 2 * day, "s", "retry"},
		{"maximal_queue_lifetime", "expire", 60, 28 * day, "d", "retry"},
		{"delay_warning_time", "warn", 0, 28 * day, "h", "retry"},
	}
}

// postfixsSize is message_size_limit where main.cf says nothing.
const postfixsSize = "10240000"

// Times of [retry], in seconds, where a file does not say them.
const (
	usualFirst   = 300    // retry.first
	usualLongest = 7200   // retry.max
	usualExpire  = 432000 // retry.expire
)

// bounds carries over the numbers that have a key here.
func (im *importer) bounds() {
	if !im.given("message_size_limit") {
		im.limits = append(im.limits, setting{"message_size", postfixsSize})
	}
	times := map[string]int64{}
	for _, b := range bounds() {
		if !im.given(b.name) {
			continue
		}
		missed := Changed // a bound that is a little wider or narrower loses no mail
		if b.name == "message_size_limit" {
			missed = Lost
		}
		value := im.value(b.name)
		n, ok := number(value, b.unit)
		switch {
		case !ok:
			im.note(b.name, Lost, TopicLimits, "%s is no number; %s.%s has its default", shown(value), b.limitsIn, b.key)
			continue
		case n == 0 && b.least > 0 && b.name == "queue_minfree":
			im.note(b.name, Changed, TopicLimits, "some space is always kept: limits.min_free")
			continue
		case n == 0 && b.key == "expire":
			n = b.least
			im.note(b.name, missed, TopicLimits, "Postfix tried once, and returned what had not left; %s.%s = %s is the least", b.limitsIn, b.key, b.written(n))
		case n == 0 && b.least > 0: // no bound at all
			n = b.most
			im.note(b.name, missed, TopicLimits, "without a bound there is none here: %s.%s = %s is the most",
				b.limitsIn, b.key, b.written(n))
		case n < b.least || n > b.most:
			n = min(max(n, b.least), b.most)
			im.note(b.name, missed, TopicLimits, "%s is out of the bounds of %s.%s, which was set to %s",
				shown(value), b.limitsIn, b.key, b.written(n))
		default:
			im.note(b.name, Carried, TopicLimits, "%s.%s = %s", b.limitsIn, b.key, b.written(n))
		}
		if b.name == "smtpd_client_connection_count_limit" && im.notes[b.name].kind == Carried {
			im.note(b.name, Carried, TopicLimits,
				"limits.connections_per_network = %d, which counts a network (/24, /64) where Postfix counts an address",
				n)
		}
		if b.limitsIn == "limits" {
			im.limits = append(im.limits, setting{b.key, b.written(n)})
			continue
		}
		times[b.key] = n
		im.retry = append(im.retry, setting{b.key, b.written(n)})
	}
	im.agree(times)
}

// agree makes the times of [retry] go together, as Postfix's need not: no pause is longer than
// the mail is tried, and nobody is told of a delay after it came back.
func (im *importer) agree(times map[string]int64) {
	of := func(key string, usual int64) int64 {
		if n, given := times[key]; given {
			return n
		}
		return usual
	}
	first, longest, expire := of("first", usualFirst), of("max", usualLongest), of("expire", usualExpire)
	if first > expire {
		first = expire
		im.retry = with(im.retry, "first", first)
		im.note("minimal_backoff_time", Changed, TopicLimits, "retry.first = %s: it may not be longer than mail is tried", bound{unit: "s"}.written(first))
	}
	if longest < first {
		im.retry = with(im.retry, "max", first)
	}
	if warn, given := times["warn"]; given && warn >= expire {
		im.retry = with(im.retry, "warn", 0)
		im.note("delay_warning_time", Changed, TopicLimits, `retry.warn = "0s": mail goes back before its sender would be told that it waits`)
	}
}

// with sets one of the times, in seconds.
func with(retry []setting, key string, seconds int64) (out []setting) {
	for _, s := range retry {
		if s.key != key {
			out = append(out, s)
		}
	}
	return append(out, setting{key, bound{unit: "s"}.written(seconds)})
}

// written is a value as the configuration writes it.
func (b bound) written(n int64) string {
	if b.unit == "" {
		return strconv.FormatInt(n, 10)
	}
	for _, u := range []struct {
		seconds int64
		name    string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}} {
		if n > 0 && n%u.seconds == 0 {
			return strconv.Quote(strconv.FormatInt(n/u.seconds, 10) + u.name)
		}
	}
	return strconv.Quote(strconv.FormatInt(n, 10) + "s")
}

// number reads a number, or with a unit a time in seconds: digits and one of s, m, h, d
// and w. postconf(5).
func number(s, unit string) (int64, bool) {
	s = strings.TrimSpace(s)
	factor := int64(1)
	if unit != "" && s != "" {
		if last := s[len(s)-1:]; strings.Contains("smhdw", strings.ToLower(last)) {
			s, unit = s[:len(s)-1], strings.ToLower(last)
		}
		factor = map[string]int64{"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}[unit]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<62/factor {
		return 0, false
	}
	return n * factor, true
}
