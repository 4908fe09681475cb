// Package incidents is what an operator can do with incidents: list them, read one with what the
// trace and the queue tell of it, end it, remove what it holds, and take the evidence out as files.
// It tells the story of an account, too.
package incidents
