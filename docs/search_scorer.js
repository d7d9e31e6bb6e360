/* What a match counts in a search of the site: the numbers of Sphinx, and a little more for a page of
   a job. Among pages that match equally well, the job then comes first. */
var Scorer = {
  score: ([page, , , , points]) => (/^jobs\/(?!index)/.test(page) ? points + 2 : points),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
