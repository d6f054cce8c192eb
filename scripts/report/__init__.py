"""``report.html``: what a run was like, on one page that needs nothing else.

``records`` reads what nodes and launcher wrote, ``values`` says what is on the page, ``gather``
(with ``blocks``, ``attempts``, ``path`` and ``money``) computes it, ``draw`` makes pictures of it,
``page`` the page. Every number comes from the records of the run.
"""
