// Package metrics counts what the server does, for Prometheus.
//
// It promises that every metric stands in Table with its meaning; that no label ever
// holds an address, an account or a name that a peer chose, and that the values of
// each label are few, whatever peers do; and that counting costs nobody who delivers
// mail a wait.
package metrics

import (
	"fmt"
	"strings"
)

// Type is what Prometheus calls the type of a metric.
type Type string

const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Metric is one metric of ours. Those of the Go runtime and of the process (go_…,
// process_…) are the client library's own.
type Metric struct {
	Name   string
	Type   Type
	Labels []string
	Doc    string
}

const prefix = "sallyport_"

// Names of the metrics, without the prefix.
const (
	buildInfo        = "build_info"
	connsOpen        = "connections_open"
	connsReading     = "reading_connections_open"
	connsTotal       = "connections_total"
	connsAway        = "connections_turned_away_total"
	memoryRefused    = "memory_refused_total"
	refusedTotal     = "refused_total"
	authTotal        = "auth_total"
	acceptedTotal    = "accepted_total"
	acceptedOctets   = "accepted_octets_total"
	outcomesTotal    = "outcomes_total"
	notifiedTotal    = "notifications_total"
	heldTotal        = "holds_total"
	alarmsTotal      = "alarms_total"
	incidentsTotal   = "incidents_total"
	incidentsOpen    = "incidents_open"
	networksOpen     = "networks_trusted"
	networksWaiting  = "networks_waiting"
	networksClosed   = "networks_closed"
	webhookWaiting   = "webhook_waiting"
	webhookTold      = "webhook_delivered_total"
	webhookFailed    = "webhook_failed_total"
	accountsCapped   = "accounts_capped"
	mailboxesFilling = "mailboxes_nearly_full"
	mailboxesFull    = "mailboxes_full"
	accountsGuessed  = "accounts_guessed_at"
	certsEnding      = "certificates_ending"
	tokensFailing    = "next_hop_tokens_failing"
	queueMessages    = "queue_messages"
	queueHeld        = "queue_held_messages"
	queueOctets      = "queue_octets"
	queueActive      = "queue_active_messages"
	queueOldest      = "queue_oldest_seconds"
	commitSeconds    = "store_commit_seconds"
	commitErrors     = "store_commit_errors_total"
	diskFree         = "disk_free_octets"
	diskLow          = "disk_low"
	damageOpen       = "damage_unacknowledged"
	traceFacts       = "trace_facts_total"
	traceSequenced   = "trace_sequenced_facts"
	traceSigned      = "trace_signed_facts"
	traceSignedTime  = "trace_signed_timestamp_seconds"
	traceSkipped     = "trace_skipped_facts_total"
	certExpiry       = "certificate_expiry_timestamp_seconds"
	startTime        = "start_timestamp_seconds"
)

// Table returns every metric, in the order of its documentation.
func Table() []Metric {
	m := func(name string, t Type, doc string, labels ...string) Metric {
		return Metric{prefix + name, t, labels, doc}
	}
	return []Metric{
		m(buildInfo, Gauge, "Always 1; its label is the version of the program.", "version"),
		m(startTime, Gauge, "When the server began to serve, in seconds since 1970."),
		m(connsOpen, Gauge, "Connections open now, over all doors."),
		m(connsReading, Gauge, "Those of them to the doors of mailboxes: imap, imaps, pop3 and pop3s."),
		m(connsTotal, Counter, "Connections that were let in, over all doors."),
		m(memoryRefused, Counter, "How often there was no memory for mail that is not judged yet (limits.unjudged_memory)."),
		m(connsAway, Counter, "Connections that were turned away because a limit of connections was reached."),
		m(refusedTotal, Counter,
			"Answers by which a command, a sender, a recipient or a message was refused, by the door and the rule that refused. Refusals of strangers are counted when they are written, at most some minutes later.",
			"door", "rule"),
		m(authTotal, Counter, "Sign-ins, by their result (ok, failed) and the rule that decided.", "result", "rule"),
		m(acceptedTotal, Counter,
			"Messages accepted, whatever the number of their recipients: each was answered with 250 and is durable.",
			"door"),
		m(acceptedOctets, Counter, "Octets of the messages accepted.", "door"),
		m(outcomesTotal, Counter,
			"Recipients whose delivery was tried, by what became of it: delivered, deferred (to be tried again, and counted at each try), failed (for good), report-failed (the same of a report that this server wrote), or any other rule of a delivery. A recipient who is several mailboxes counts once for each.",
			"result"),
		m(notifiedTotal, Counter, "Notifications about deliveries (bounces, delays) that were queued."),
		m(heldTotal, Counter,
			"Times that a message, or with one act the whole queue of an account, was held, by rule. How many messages wait for that, queue_held_messages says.",
			"rule"),
		m(alarmsTotal, Counter, "Alarms: things that a person must look at, by rule.", "rule"),
		m(incidentsTotal, Counter, "Incidents that were raised or ended, by the rule that did it.", "rule"),
		m(incidentsOpen, Gauge, "Accounts that are contained now: incidents that are open."),
		m(networksOpen, Gauge, "Trusted networks whose clients are taken for their account."),
		m(networksWaiting, Gauge,
			"Trusted networks that don't count yet, or not any more, for want of proof that addresses of clients arrive as they are."),
		m(networksClosed, Gauge, "Trusted networks that are closed until a person opens them."),
		m(webhookWaiting, Gauge, "Changes of incidents that the webhook was not told of yet; 0 without one."),
		m(webhookTold, Counter, "Changes of incidents that the webhook was told of."),
		m(webhookFailed, Counter, "Requests to the webhook that failed; what they told of is tried again."),
		m(mailboxesFilling, Gauge,
			"Mailboxes that hold so much of their quota that the owner was told, or more, and domains of which the mailboxes together do."),
		m(mailboxesFull, Gauge, "Those of them that hold all of it: mail for them is refused."),
		m(accountsCapped, Gauge,
			"Accounts that have reached their limit of recipients within an hour or a day, or were refused one by it within the last hour."),
		m(accountsGuessed, Gauge,
			"Accounts whose password somebody guesses: ten different ones were wrong, or a rate kept more from being tried, and not an hour has passed since."),
		m(certsEnding, Gauge, "Certificates of people and devices that end within 30 days, and nothing takes their place."),
		m(tokensFailing, Gauge,
			"Token endpoints of routes that give no token, or none that the next hop takes: the mail of their routes waits."),
		m(queueMessages, Gauge, "Messages in the queue, held ones too."),
		m(queueHeld, Gauge, "Messages in the queue that are held, by themselves or with their account."),
		m(queueOctets, Gauge, "Octets in the queue."),
		m(queueActive, Gauge, "Messages that are being delivered now."),
		m(queueOldest, Gauge, "Age of the oldest message in the queue that is not held; 0: there is none."),
		m(commitSeconds, Histogram,
			"How long a change of the store took, by its durability (durable: until it was synced; lazy: until it was ordered).",
			"durability"),
		m(commitErrors, Counter, "Changes of the store that failed: unavailable (the disk is full or fails), or another error.", "error"),
		m(diskFree, Gauge, "Octets free on the disk of the data folder, for the server's user."),
		m(diskLow, Gauge,
			"1 while less than limits.min_free is free on the disk of the data folder or of the mailboxes: mail waits; else 0."),
		m(damageOpen, Gauge, "What the disk has damaged and no operator has acknowledged yet (sallyport damage)."),
		m(traceFacts, Counter, "Facts that were ever committed to the trace."),
		m(traceSequenced, Gauge, "Facts that are in the signed tree and the index; far behind the facts: the trace cannot write."),
		m(traceSigned, Gauge, "Facts under the newest signed checkpoint."),
		m(traceSignedTime, Gauge, "When the newest checkpoint was signed, in seconds since 1970."),
		m(traceSkipped, Counter, "Facts that these counters missed because they came too fast."),
		m(certExpiry, Gauge, "When the server's certificate expires, in seconds since 1970; there only with a certificate."),
	}
}

// Document returns the list of metrics in Markdown.
func Document() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range Table() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Doc)
	}
	return b.String()
}
