package door

// KindError is that a kind of door, of those that are told apart by K, cannot be as it is configured.
type KindError[K any] struct {
	Kind K
	Err  error
}

// Error implements error.
func (e *KindError[K]) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *KindError[K]) Unwrap() error { return e.Err }
