// Package rollout gives passwords and certificates to many people with the scripts that the
// documents print, and signs in with what they made.
package rollout
