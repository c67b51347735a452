// Package flow is the paper's chain: the topics, what travels on them, and the
// two stages between a question and its answer.
//
//	questions --embed--> vectors --nearest--> answers
//
// What a question needs on its way besides its text travels in headers, which
// stages hand on by themselves.
package flow
