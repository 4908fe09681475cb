package replay

import (
	"iter"
	"time"

	"sallyport/internal/hijack"
)

// scenario is one way of a thief.
type scenario struct {
	name  string
	words string
	// knows: it needs a victim that has contacts.
	knows bool
	steps func(v *victim) iter.Seq[step]
}

const day = 24 * time.Hour

// quick is how long a thief's program takes for a message.
const quick = 100 * time.Millisecond

// scenarios are all ways of thieves with one account.
func scenarios() []scenario {
	return []scenario{
		{"blast-1", "45,000 recipients, 1 a message", false, blast(45_000, 1)},
		{"blast-50", "45,000 recipients, 50 a message", false, blast(900, 50)},
		{"blast-500", "45,000 recipients, 500 a message", false, blast(90, 500)},
		{"20-an-hour", "20 an hour for 14 days", false, drip(14*480, 3*time.Minute)},
		{"2-an-hour", "2 an hour for 30 days", false, drip(30*48, 30*time.Minute)},
		{"1-a-day", "1 a day for 60 days", false, drip(60, day)},
		{"500-networks", "500 sign-ins from new networks, then a blast", false, networks},
		{"interleaved-1", "1 contact to 1 stranger", true, interleaved(1)},
		{"interleaved-3", "3 contacts to 1 stranger, a message each", true, interleaved(3)},
		{"within-9", "9 contacts and 1 stranger a message", true, within(9)},
		{"word-list", "a word list, 13 % refused, 1 a message", false, wordList(1)},
		{"word-list-20", "a word list, 13 % refused, 20 a message", false, wordList(20)},
		{"colleagues", "colleagues unknown to the victim, 1 every 5 s", false, colleagues(1, 5*time.Second)},
		{"colleagues-20", "colleagues, 20 a message", false, colleagues(20, 5*time.Second)},
		{"alias", "a list address that expands to 40 colleagues", false, colleagues(40, time.Minute)},
		{"threads", "replies to the victim's last 20 contacts, 1 a minute for a day", true, threads},
		{"2-an-hour-at-work", "1 stranger each half hour among the owner's letters, 5 to contacts between two, 30 days", true, atWork(30 * time.Minute)},
		{"1-an-hour-at-work", "1 each hour in the same way", true, atWork(time.Hour)},
		{"8-a-day-at-work", "1 each 3 hours in the same way", true, atWork(3 * time.Hour)},
		{"1-a-day-at-work", "1 a day in the same way", true, atWork(day)},
		{"list-a-day-at-work", "one message a day to 100 strangers in the same way", true, listAtWork},
		{"mimic-1x", "the victim's contacts at its own rate, 30 days", true, mimic(1)},
		{"mimic-3x", "the same at three times its rate", true, mimic(3)},
		{"seeding", "1 stranger a day for 60 days, then a blast", false, seeding},
		{"restarts", "a blast, the server killed before each message", false, restarts},
		{"clock-jumps", "a blast, the clock set by a day or a year before each message", false, clockJumps},
		{"sessions", "a blast from 50 sessions whose messages come in any order of time", false, sessions},
	}
}

// repeat makes steps from a function of their number.
func repeat(n int, step1 func(v *victim, i int) step) func(v *victim) iter.Seq[step] {
	return func(v *victim) iter.Seq[step] {
		return func(yield func(step) bool) {
			for i := range n {
				if !yield(step1(v, i)) {
					return
				}
			}
		}
	}
}

func blast(n, each int) func(v *victim) iter.Seq[step] {
	return repeat(n, func(v *victim, _ int) step { return step{after: quick, to: v.strangers(each)} })
}

func drip(n int, gap time.Duration) func(v *victim) iter.Seq[step] {
	return repeat(n, func(v *victim, _ int) step { return step{after: gap, to: v.strangers(1)} })
}

func networks(v *victim) iter.Seq[step] {
	return repeat(45_500, func(v *victim, i int) step {
		if i < 500 {
			return step{after: quick / 10, newNetwork: true}
		}
		return step{after: quick, to: v.strangers(1)}
	})(v)
}

func interleaved(known int) func(v *victim) iter.Seq[step] {
	return repeat(2000, func(v *victim, i int) step {
		if i%(known+1) == 0 {
			return step{after: 2 * time.Second, to: v.strangers(1)}
		}
		return step{after: 2 * time.Second, to: []hijack.Fingerprint{v.contact()}}
	})
}

// atWork is a thief who writes to a stranger every so often while the account goes on as ever: its owner writes, or he writes to
// its contacts himself.
func atWork(gap time.Duration) func(v *victim) iter.Seq[step] {
	const between = 5
	return repeat(int(30*day/gap)*(between+1), func(v *victim, i int) step {
		if i%(between+1) == 0 {
			return step{after: gap / (between + 1), to: v.strangers(1)}
		}
		return step{after: gap / (between + 1), to: []hijack.Fingerprint{v.contact()}}
	})
}

// listAtWork is one who names as many as leave within a day in one message.
func listAtWork(v *victim) iter.Seq[step] {
	return repeat(30*6, func(v *victim, i int) step {
		if i%6 == 0 {
			return step{after: day / 6, to: v.strangers(100)}
		}
		return step{after: day / 6, to: []hijack.Fingerprint{v.contact()}}
	})(v)
}

func within(known int) func(v *victim) iter.Seq[step] {
	return repeat(500, func(v *victim, _ int) step {
		to := v.strangers(1)
		for range known {
			to = append(to, v.contact())
		}
		return step{after: time.Minute, to: to}
	})
}

func wordList(each int) func(v *victim) iter.Seq[step] {
	return repeat(2000/each, func(v *victim, _ int) step {
		st := step{after: quick}
		for range each {
			if v.chance.Float64() < 0.13 {
				st.invalid++
			} else {
				st.to = append(st.to, v.stranger())
			}
		}
		return st
	})
}

func colleagues(each int, gap time.Duration) func(v *victim) iter.Seq[step] {
	return repeat(300, func(v *victim, _ int) step {
		st := step{after: gap}
		for range each {
			st.to = append(st.to, v.colleague())
		}
		return st
	})
}

func threads(v *victim) iter.Seq[step] {
	last := v.contacts[max(0, len(v.contacts)-20):]
	return repeat(1440, func(v *victim, i int) step {
		return step{after: time.Minute, to: []hijack.Fingerprint{last[i%len(last)]}}
	})(v)
}

func mimic(times float64) func(v *victim) iter.Seq[step] {
	return func(v *victim) iter.Seq[step] {
		perHour := max(v.perHour*times, 1.0/24)
		gap := time.Duration(float64(time.Hour) / perHour)
		return repeat(int(30*day/gap), func(v *victim, _ int) step {
			return step{after: gap, to: []hijack.Fingerprint{v.contact()}}
		})(v)
	}
}

func seeding(v *victim) iter.Seq[step] {
	return func(yield func(step) bool) {
		for i := range 45_060 {
			st := step{after: quick, to: v.strangers(1)}
			if i < 60 {
				st.after = day
			}
			if !yield(st) {
				return
			}
		}
	}
}

func restarts(v *victim) iter.Seq[step] {
	return repeat(5000, func(v *victim, _ int) step {
		return step{after: time.Second, to: v.strangers(1), restart: true}
	})(v)
}

func clockJumps(v *victim) iter.Seq[step] {
	jumps := []time.Duration{-26 * time.Hour, 365 * day, -400 * day, time.Hour, -time.Hour, 30 * day}
	return repeat(5000, func(v *victim, i int) step {
		return step{after: quick, to: v.strangers(1), clock: jumps[i%len(jumps)]}
	})(v)
}

func sessions(v *victim) iter.Seq[step] {
	return repeat(45_000, func(v *victim, i int) step {
		off := time.Duration(v.chance.IntN(10_000)) * time.Millisecond
		if i%2 == 1 {
			off = -off
		}
		return step{after: quick / 50, to: v.strangers(1), clock: off}
	})(v)
}
