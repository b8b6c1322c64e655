"""The problems that judge a model: benchmarks by name, local copies of them, files and held-out
problems.

The generator keeps them out of a corpus, the trainer looks again at its door, the evaluation asks
them: one reading of a name, so that what can be asked can be kept out, and the other way round.

    names          which benchmark a name means, and where the hub keeps it
    local_copies   where a copy of it stands in a folder
    rows           a row of whatever shape -> its problem and its gold answers
    choices        a row of multiple choice -> a question whose options carry letters
    held_out       what training did not see of a corpus
    opening        a name -> its rows
"""
