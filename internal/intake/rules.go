package intake

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleAccountQueueHeld: the queue of the account is held.
	RuleAccountQueueHeld = "account-queue-held"
	// RuleCalloutLoop: this server asks itself about a recipient, since what is named as the server behind leads back here.
	RuleCalloutLoop = "callout-loop"
	// RuleCutThroughAlone: a recipient whose server is asked at the end of data comes in a
	// transaction of its own.
	RuleCutThroughAlone = "cut-through-alone"
	// RuleCutThroughDeferred: it put the message off.
	RuleCutThroughDeferred = "cut-through-deferred"
	// RuleCutThroughRefused: the server behind refused the message at the end of data.
	RuleCutThroughRefused = "cut-through-refused"
	// RuleGrantsDoNotJoin: the grants of a message are not of one transaction.
	RuleGrantsDoNotJoin = "grants-do-not-join"
	// RuleHeaderLineEnding: a bare CR, a bare LF or a NUL stands in the header.
	RuleHeaderLineEnding = "header-line-ending"
	// RuleHeaderTooLarge: the header section is larger than its bound.
	RuleHeaderTooLarge = "header-too-large"
	// RuleInspectionCrowded: as many messages are being looked at as there is room for.
	RuleInspectionCrowded = "inspection-crowded"
	// RuleInspectionFailed: an inspector could not do its work.
	RuleInspectionFailed = "inspection-failed"
	// RuleInspectionTimeout: an inspector did not come back in time.
	RuleInspectionTimeout = "inspection-timeout"
	// RuleLocalUserUnknown: a local user has no account to send as, or another one since the connection.
	RuleLocalUserUnknown = "local-user-unknown"
	// RuleMailLoop: the message came by here, or anywhere, too many times.
	RuleMailLoop = "mail-loop"
	// RuleMessageInternational: the server behind takes no addresses beyond ASCII, and the message
	// has some; or it cannot be asked whether it does.
	RuleMessageInternational = "message-international"
	// RuleMessageNotStored: the message could not be stored for another reason.
	RuleMessageNotStored = "message-not-stored"
	// RuleMessageTooLarge: the message is larger than it may be.
	RuleMessageTooLarge = "message-too-large"
	// RuleProtocol: the SMTP engine refused a command by itself.
	RuleProtocol = "protocol"
	// RuleQueueFull: the queue holds as much as it may.
	RuleQueueFull = "queue-full"
	// RuleQueueIDUnavailable: no identifier could be made.
	RuleQueueIDUnavailable = "queue-id-unavailable"
	// RuleRecipientInternational: the server behind takes no recipients beyond ASCII, or cannot be
	// asked whether it does.
	RuleRecipientInternational = "recipient-international"
	// RuleRecipientSyntax: the recipient is no address.
	RuleRecipientSyntax = "recipient-syntax"
	// RuleRecipientUTF8: the recipient is beyond ASCII, and SMTPUTF8 was not asked for.
	RuleRecipientUTF8 = "recipient-utf8"
	// RuleRelayWithoutGrant: a recipient would leave and no grant covers it.
	RuleRelayWithoutGrant = "relay-without-grant"
	// RuleSigninAgain: the client signed in before, by its certificate.
	RuleSigninAgain = "signin-again"
	// RuleStorageUnavailable: the disk is full or fails.
	RuleStorageUnavailable = "storage-unavailable"
	// RuleTooManyDeliveries: the recipients lead to more mailboxes than one message may have.
	RuleTooManyDeliveries = "too-many-deliveries"
)
