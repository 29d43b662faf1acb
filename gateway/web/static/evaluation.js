// The frame of an evaluation's page.
