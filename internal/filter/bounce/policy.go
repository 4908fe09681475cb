package bounce

// Treatment says what becomes of a bounce. The zero Treatment refuses it.
type Treatment uint8

const (
	TreatRefuse Treatment = iota
	TreatJunk
	TreatAccept
)

// Policy says what becomes of bounces from outside that are no answer to our mail.
type Policy struct {
	Forged  Treatment // of a message in our name that we never sent
	Unnamed Treatment // that do not tell of which message
}
