package operate

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"

	"sallyport/internal/operate/accounts"
	"sallyport/internal/operate/backup/stream"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/callouts"
	"sallyport/internal/operate/credentials"
	"sallyport/internal/operate/damage"
	"sallyport/internal/operate/domains"
	"sallyport/internal/operate/helpers"
	"sallyport/internal/operate/incidents"
	"sallyport/internal/operate/mailboxes"
	"sallyport/internal/operate/queue"
	"sallyport/internal/operate/reload"
	"sallyport/internal/operate/screening"
	"sallyport/internal/operate/sessions"
	"sallyport/internal/operate/signing"
	"sallyport/internal/operate/socket"
	"sallyport/internal/operate/tracing"
)

// routes returns Routes whose failures all topics explain.
func routes() *call.Routes {
	return call.NewRoutes(domains.Explain, credentials.Explain, accounts.Explain, queue.Explain)
}

// Handler serves the actions of op to callers that are root or owner, the user
// whom the data folder belongs to.
func Handler(op *Operator, owner uint32) http.Handler {
	r := routes()
	accounts.Routes(r, op.accountActions)
	credentials.Routes(r, op.credentialActions)
	domains.Routes(r, op.domainActions)
	queue.Routes(r, op.queueActions)
	signing.Routes(r, op.signingActions)
	callouts.Routes(r, op.calloutActions)
	damage.Routes(r, op.damageActions)
	screening.Routes(r, op.screeningActions)
	incidents.Routes(r, op.incidentActions)
	tracing.Routes(r, op.traceActions)
	sessions.Routes(r, op.sessionActions)
	mailboxes.Routes(r, op.mailboxActions)
	stream.Routes(r, op.backupActions)
	reload.Routes(r, op.reloadActions)
	call.Answer(r, "status", op.Status)
	return call.Admitting(r, owner, call.MayAct)
}

// HelpersHandler serves the questions about trace, queue and status, and no other action. No
// message is read by it, and nothing is changed but that each question is a fact of the trace.
func HelpersHandler(op *Operator, owner uint32) http.Handler {
	r, desk := routes(), helpers.Desk{Now: op.o.Now, Write: op.o.Write}
	helpers.Answer(r, "trace", desk, func(q TraceQuery) string { return "the trace" + helpers.About(q.About()) }, op.Trace)
	helpers.Listing(r, "trace.summary", desk, func(q TraceQuery) string { return "a summary of the trace" + helpers.About(q.About()) }, op.TraceSummary)
	helpers.Listing(r, "queue.ls", desk, func(q Select) string { return "the queue" + helpers.About(q.About()) }, op.QueueList)
	helpers.Listing(r, "queue.summary", desk, func(QueueSummary) string { return "a summary of the queue" }, op.QueueSummary)
	helpers.Answer(r, "queue.show", desk, QueueRef.Asked, op.QueueShow)
	helpers.Answer(r, "status", desk, func(struct{}) string { return "the status" }, op.Status)
	helpers.Refuse(r, desk)
	return call.Admitting(r, owner, call.MayAsk)
}

// Serve serves op on ln until ctx is done, then lets actions under way finish for
// a short time.
func Serve(ctx context.Context, ln net.Listener, op *Operator, log *slog.Logger) error {
	return socket.Serve(ctx, ln, Handler(op, uint32(os.Geteuid())), log)
}

// ServeHelpers answers the questions of helpers on ln until ctx is done.
func ServeHelpers(ctx context.Context, ln net.Listener, op *Operator, log *slog.Logger) error {
	return socket.Serve(ctx, ln, HelpersHandler(op, uint32(os.Geteuid())), log)
}

// ServeConns serves op at connections that were made beforehand, as socket.ServeConns does.
func ServeConns(ctx context.Context, all []*net.UnixConn, op *Operator, log *slog.Logger) error {
	return socket.ServeConns(ctx, all, Handler(op, uint32(os.Geteuid())), log)
}
