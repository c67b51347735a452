package reduce_test

import (
	"math"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage/stagetest"
)

func TestPCAPassesTheSuite(t *testing.T) {
	stagetest.TestTransform(t, func(tb testing.TB) stagetest.TransformFixture[vector.Vector, vector.Vector] {
		vectors := random(3, 100, 20, 1)
		in := func(i int) vector.Vector {
			v := vectors[i]
			v.Values = slices.Clone(v.Values)
			return v
		}
		return stagetest.TransformFixture[vector.Vector, vector.Vector]{
			Transform: fit(tb, vectors, 5),
			In:        in,
			Bad: func(i int) vector.Vector {
				v := in(i)
				switch i % 3 {
				case 0:
					v.Space = "another"
				case 1:
					v.Values = v.Values[1:]
				case 2:
					v.Values[7] = float32(math.NaN())
				}
				return v
			},
		}
	})
}

func TestOthersPassTheSuite(t *testing.T) {
	for name, r := range reducers(t) {
		t.Run(name, func(t *testing.T) {
			stagetest.TestTransform(t, func(testing.TB) stagetest.TransformFixture[vector.Vector, vector.Vector] {
				vectors := random(4, 100, 3, 1)
				in := func(i int) vector.Vector {
					v := vectors[i]
					v.Values = slices.Clone(v.Values)
					return v
				}
				return stagetest.TransformFixture[vector.Vector, vector.Vector]{
					Transform: r,
					In:        in,
					Bad: func(i int) vector.Vector {
						v := in(i)
						if i%2 == 0 {
							v.Space = ""
						} else {
							v.Values[2] = float32(math.Inf(-1))
						}
						return v
					},
				}
			})
		})
	}
}
