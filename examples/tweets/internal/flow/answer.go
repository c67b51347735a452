package flow

import (
	"strconv"

	"github.com/millrace-go/millrace/stage"
)

// Answer is what comes back for a question. Its JSON is what `-json` prints.
type Answer struct {
	Question string `json:"question"`
	Hits     []Hit  `json:"hits"`
	MS       Times  `json:"ms"`
}

// Hit is one of the posts nearest to a question.
type Hit struct {
	ID        string  `json:"id"`
	Text      string  `json:"text"`
	Date      string  `json:"date"` // 2006-01-02
	Favorites int     `json:"favorites"`
	Retweets  int     `json:"retweets"`
	Distance  float64 `json:"distance"` // Euclidean
	// Similarity is the cosine of the angle between question and post, from
	// -1 to 1. For vectors of length 1 it is 1 - distance²/2; between reduced
	// vectors that is an estimate.
	Similarity float64 `json:"similarity"`
}

// Times are milliseconds. What is in Total and not in the others is Kafka's
// and the stages' own.
type Times struct {
	Total   float64 `json:"total"`   // from the prompt to the answer
	Embed   float64 `json:"embed"`   // in the model
	Nearest float64 `json:"nearest"` // in the index, or BigQuery
}

// The headers that travel with a question, besides those of package reply.
const (
	HeaderQuestion = "question" // its text, for the answer
	headerEmbedMS  = "embed-ms"
)

func milliseconds(r *stage.Raw, header string) float64 {
	text, _ := r.Header(header)
	ms, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0 // a time nobody took is no reason to lose an answer
	}
	return ms
}
