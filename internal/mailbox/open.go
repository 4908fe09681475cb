package mailbox

// inUse counts the folders that somebody has open, and their messages, all of which are known in
// memory meanwhile. u.mu is held.
func (u *User) inUse() (folders, messages int) {
	for _, f := range u.open {
		if f.refs == 0 {
			continue
		}
		// Nobody waits for a folder that is at work: what it held a moment ago will do.
		if f.mu.TryLock() {
			f.held = len(f.book.entries)
			f.mu.Unlock()
		}
		folders, messages = folders+1, messages+f.held
	}
	return folders, messages
}

// mayOpen refuses a folder that was just opened where too many messages are known beside its own.
// u.mu is held.
func (u *User) mayOpen() error {
	if folders, messages := u.inUse(); folders > 1 && messages > u.root.bounds().Messages {
		return ErrTooMany
	}
	return nil
}

// mayAdd refuses so many messages more in the folders that are open: a copy costs its reader a
// line, and doubles with each that is made of all.
func (u *User) mayAdd(more int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, messages := u.inUse(); messages+more > u.root.bounds().Messages {
		return ErrTooMany
	}
	return nil
}
