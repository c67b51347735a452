// Package reply asks over Kafka and waits for the answer, in one call:
//
//	asker, err := reply.Dial(ctx, cluster, questions, answers, reply.Options{DeadLetters: []string{"questions.dead"}})
//	...
//	answer, err := asker.Ask(ctx, "How similar are we?")
//
// Who answers is a stage, or a chain of them, that knows nothing of this
// package: the question's headers travel with it to the answer, and among them
// is the correlation id ([HeaderID]) by which the answer finds its asker. A
// program that is none of ours copies that header from question to answer.
//
// # Many askers on one topic
//
// Each [Asker] reads the whole topic of answers from its end, as a member of
// no group, and passes over what belongs to others: their correlation ids begin
// otherwise. So nothing has to be set up for an asker, nothing is committed, and
// nothing is left behind when it dies. (A group would hand one asker's answers
// to another. A partition for each asker would need somebody to give them out,
// and answerers that write to a partition.) The price is that each asker fetches
// all answers. Where that is too much, give askers topics of their own:
// each question says in [HeaderTopic] where its answer is wanted, and a sink
// goes by it with sink.ChooseTopic([Topic]).
//
// # What fails
//
// A question that a stage gave up is found among the dead letters
// ([Options.DeadLetters]), or by an error reply ([HeaderError]), and comes back
// as a [*FailedError]; one that nobody answers in time, as a [*TimeoutError],
// which says what to look at. Delivery is at least once: a question may be
// answered twice, and the first answer counts. What comes too late, twice, or
// for others is dropped and counted in [Stats].
package reply
