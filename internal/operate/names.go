package operate

import (
	"sallyport/internal/operate/accounts"
	"sallyport/internal/operate/alarms"
	"sallyport/internal/operate/backup/stream"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/callouts"
	"sallyport/internal/operate/credentials"
	"sallyport/internal/operate/damage"
	"sallyport/internal/operate/domains"
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

// What actions are asked for and answer with, by the names that whoever uses an Operator or a
// Client knows; each is of the topic that has it.
type (
	// Of accounts.
	Account         = accounts.Account
	AccountAdd      = accounts.AccountAdd
	AccountPassword = accounts.AccountPassword
	AccountReason   = accounts.AccountReason
	AccountRename   = accounts.AccountRename
	AccountSet      = accounts.AccountSet
	AccountSignIn   = accounts.AccountSignIn
	Allowance       = accounts.Allowance
	Capped          = accounts.Capped
	Learn           = accounts.Learn
	Learned         = accounts.Learned
	Correspondent   = accounts.Correspondent
	SentMessage     = accounts.SentMessage
	// Of alarms.
	DiskAlarm    = alarms.DiskAlarm
	TokenAlarm   = alarms.TokenAlarm
	TokenTrouble = alarms.TokenTrouble
	// Of backups.
	BackupRequest = stream.BackupRequest
	BackupStream  = stream.BackupStream
	Restored      = stream.Restored
	// Of every action.
	AccountRef = call.AccountRef
	Caller     = call.Caller
	Error      = call.Error
	// Of callouts.
	Callout    = callouts.Callout
	CalloutRef = callouts.CalloutRef
	// Of credentials.
	AppAdd          = credentials.AppAdd
	CARollover      = credentials.CARollover
	CertCRL         = credentials.CertCRL
	CertEnroll      = credentials.CertEnroll
	CertIssue       = credentials.CertIssue
	CertIssued      = credentials.CertIssued
	Credential      = credentials.Credential
	CredentialRef   = credentials.CredentialRef
	DeviceAuthority = credentials.DeviceAuthority
	Ending          = credentials.Ending
	RevocationList  = credentials.RevocationList
	// Of damage.
	Damaged     = damage.Damaged
	DamageEntry = damage.DamageEntry
	DamageList  = damage.DamageList
	DamageRef   = damage.DamageRef
	// Of domains and addresses.
	Alias          = domains.Alias
	AliasAdd       = domains.AliasAdd
	AliasRemove    = domains.AliasRemove
	Binding        = domains.Binding
	BindingForget  = domains.BindingForget
	BindingGrant   = domains.BindingGrant
	BindingMode    = domains.BindingMode
	BindingSelect  = domains.BindingSelect
	Changed        = domains.Changed
	Delegate       = domains.Delegate
	DelegateChange = domains.DelegateChange
	DelegateSelect = domains.DelegateSelect
	Domain         = domains.Domain
	DomainAdd      = domains.DomainAdd
	DomainRemove   = domains.DomainRemove
	Forward        = domains.Forward
	ForwardAdd     = domains.ForwardAdd
	ForwardRemove  = domains.ForwardRemove
	// Of incidents.
	IncidentEnd     = incidents.IncidentEnd
	IncidentExport  = incidents.IncidentExport
	IncidentPurge   = incidents.IncidentPurge
	IncidentRef     = incidents.IncidentRef
	IncidentRelease = incidents.IncidentRelease
	IncidentSelect  = incidents.IncidentSelect
	IncidentShown   = incidents.IncidentShown
	// Of mailboxes.
	ExportedFolder  = mailboxes.ExportedFolder
	ExportedMessage = mailboxes.ExportedMessage
	Filling         = mailboxes.Filling
	Mailbox         = mailboxes.Mailbox
	MailboxAdd      = mailboxes.MailboxAdd
	MailboxCame     = mailboxes.MailboxCame
	MailboxExport   = mailboxes.MailboxExport
	MailboxFolder   = mailboxes.MailboxFolder
	MailboxIncome   = mailboxes.MailboxIncome
	MailboxRebuilt  = mailboxes.MailboxRebuilt
	MailboxRef      = mailboxes.MailboxRef
	MailboxSource   = mailboxes.MailboxSource
	MailboxUIDs     = mailboxes.MailboxUIDs
	MailboxVerified = mailboxes.MailboxVerified
	Room            = mailboxes.Room
	// Of the queue.
	Message       = queue.Message
	OwnQueue      = queue.OwnQueue
	QueueChange   = queue.QueueChange
	QueueChanged  = queue.QueueChanged
	QueueGroup    = queue.QueueGroup
	QueueRead     = queue.QueueRead
	QueueRedirect = queue.QueueRedirect
	QueueRef      = queue.QueueRef
	QueueStats    = queue.QueueStats
	QueueSummary  = queue.QueueSummary
	Select        = queue.Select
	// Of a reload.
	Reloaded     = reload.Reloaded
	ReloadChange = reload.ReloadChange
	ReloadFault  = reload.ReloadFault
	// Of who comes to port 25.
	ScreenHit     = screening.ScreenHit
	ScreenVisitor = screening.ScreenVisitor
	// Of sessions.
	LastSignIn  = sessions.LastSignIn
	Session     = sessions.Session
	SessionsAsk = sessions.SessionsAsk
	// Of signing keys.
	DKIMImport = signing.DKIMImport
	DKIMKey    = signing.DKIMKey
	DKIMKeys   = signing.DKIMKeys
	DKIMRef    = signing.DKIMRef
	// Of the trace.
	TraceQuery = tracing.TraceQuery
)

// The facets of an Operator and of a Client, one of each topic.
type (
	accountActions    = accounts.Actions
	backupActions     = stream.Actions
	calloutActions    = callouts.Actions
	credentialActions = credentials.Actions
	damageActions     = damage.Actions
	domainActions     = domains.Actions
	incidentActions   = incidents.Actions
	mailboxActions    = mailboxes.Actions
	queueActions      = queue.Actions
	reloadActions     = reload.Actions
	screeningActions  = screening.Actions
	sessionActions    = sessions.Actions
	signingActions    = signing.Actions
	traceActions      = tracing.Actions
	accountCalls      = accounts.Client
	backupCalls       = stream.Client
	calloutCalls      = callouts.Client
	credentialCalls   = credentials.Client
	damageCalls       = damage.Client
	domainCalls       = domains.Client
	incidentCalls     = incidents.Client
	mailboxCalls      = mailboxes.Client
	queueCalls        = queue.Client
	reloadCalls       = reload.Client
	screeningCalls    = screening.Client
	sessionCalls      = sessions.Client
	signingCalls      = signing.Client
	traceCalls        = tracing.Client
)

// The kinds of failure.
const (
	CodeInvalid = call.CodeInvalid
	CodeExists  = call.CodeExists
)

// The states of messages, of recipients and of findings, and what summaries and requests are bounded by.
const (
	StateWaiting     = queue.StateWaiting
	StateHeld        = queue.StateHeld
	StateParked      = queue.StateParked
	RecipientPending = queue.RecipientPending
	RecipientUntold  = queue.RecipientUntold
	StateMore        = domains.StateMore
	MaxLearn         = accounts.MaxLearn
)

// ErrNoServer means that no server listens at the socket.
var ErrNoServer = socket.ErrNoServer

// Self is the process itself as a caller.
func Self() Caller { return call.Self() }
