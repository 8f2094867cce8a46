"""What the methods rest on: one record a publication, by key. Docstrings name the same ones where they are used."""

from typing import NamedTuple


class Reference(NamedTuple):
    """A publication.

    Attributes:
      key: of BibTeX: the first author, the year, a word of the title.
      kind: "article", "inproceedings", "book" or "misc".
      authors: in BibTeX's form, with LaTeX's accents.
      title: whole.
      place: the journal, the proceedings, the publisher, or "" for a preprint.
      year: of the publication that the docstrings name.
      link: of it; "" where there is none.
    """

    key: str
    kind: str
    authors: str
    title: str
    place: str
    year: int
    link: str


_NIPS = "Advances in Neural Information Processing Systems"
_TEVC = "IEEE Transactions on Evolutionary Computation"
_ICML = "International Conference on Machine Learning"
_CEC = "IEEE Congress on Evolutionary Computation"

_ALL = (
    Reference("ament2023unexpected", "inproceedings",
        "Sebastian Ament and Samuel Daulton and David Eriksson and Maximilian Balandat and Eytan Bakshy",
        "Unexpected improvements to expected improvement for Bayesian optimization",
        _NIPS, 2023, "https://arxiv.org/abs/2310.20708"),
    Reference("auger2005restart", "inproceedings", "Anne Auger and Nikolaus Hansen",
        "A restart CMA evolution strategy with increasing population size",
        _CEC, 2005, "https://doi.org/10.1109/CEC.2005.1554902"),
    Reference("baker1987reducing", "inproceedings", "James E. Baker",
        "Reducing bias and inefficiency in the selection algorithm",
        "International Conference on Genetic Algorithms", 1987, "https://dl.acm.org/doi/10.5555/42512.42515"),
    Reference("bergstra2011algorithms", "inproceedings",
        r"James Bergstra and R{\'e}mi Bardenet and Yoshua Bengio and Bal{\'a}zs K{\'e}gl",
        "Algorithms for hyper-parameter optimization", _NIPS, 2011,
        "https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization"),
    Reference("bergstra2012random", "article", "James Bergstra and Yoshua Bengio",
        "Random search for hyper-parameter optimization", "Journal of Machine Learning Research", 2012,
        "https://jmlr.org/papers/v13/bergstra12a.html"),
    Reference("beyer2002evolution", "article", "Hans-Georg Beyer and Hans-Paul Schwefel",
        "Evolution strategies: a comprehensive introduction", "Natural Computing", 2002,
        "https://doi.org/10.1023/A:1015059928466"),
    Reference("blum2013optimization", "inproceedings", "Manuel Blum and Martin Riedmiller",
        "Optimization of Gaussian process hyperparameters using Rprop",
        "European Symposium on Artificial Neural Networks", 2013,
        "https://www.esann.org/sites/default/files/proceedings/legacy/es2013-118.pdf"),
    Reference("bousquet2017critical", "misc",
        "Olivier Bousquet and Sylvain Gelly and Karol Kurach and Olivier Teytaud and Damien Vincent",
        "Critical hyper-parameters: no random, no cry", "", 2017, "https://arxiv.org/abs/1706.03200"),
    Reference("buja1989linear", "article", "Andreas Buja and Trevor Hastie and Robert Tibshirani",
        "Linear smoothers and additive models", "The Annals of Statistics", 1989,
        "https://doi.org/10.1214/aos/1176347115"),
    Reference("burley2020practical", "article", "Brent Burley", "Practical hash-based Owen scrambling",
        "Journal of Computer Graphics Techniques", 2020, "https://jcgt.org/published/0009/04/01/"),
    Reference("deb1995simulated", "article", "Kalyanmoy Deb and Ram Bhushan Agrawal",
        "Simulated binary crossover for continuous search space", "Complex Systems", 1995,
        "https://www.complex-systems.com/abstracts/v09_i02_a02/"),
    Reference("deb2002fast", "article",
        "Kalyanmoy Deb and Amrit Pratap and Sameer Agarwal and T. Meyarivan",
        "A fast and elitist multiobjective genetic algorithm: NSGA-II", _TEVC, 2002,
        "https://doi.org/10.1109/4235.996017"),
    Reference("deb2014analysing", "article", "Kalyanmoy Deb and Debayan Deb",
        "Analysing mutation schemes for real-parameter genetic algorithms",
        "International Journal of Artificial Intelligence and Soft Computing", 2014,
        "https://doi.org/10.1504/IJAISC.2014.059280"),
    Reference("deng1982control", "article", "Julong Deng", "Control problems of grey systems",
        r"Systems \& Control Letters", 1982, "https://doi.org/10.1016/S0167-6911(82)80025-X"),
    Reference("deng1989introduction", "article", "Julong Deng", "Introduction to grey system theory",
        "The Journal of Grey System", 1989, ""),
    Reference("desautels2014parallelizing", "article",
        "Thomas Desautels and Andreas Krause and Joel W. Burdick",
        "Parallelizing exploration-exploitation tradeoffs in Gaussian process bandit optimization",
        "Journal of Machine Learning Research", 2014, "https://jmlr.org/papers/v15/desautels14a.html"),
    Reference("domhan2015speeding", "inproceedings",
        "Tobias Domhan and Jost Tobias Springenberg and Frank Hutter",
        "Speeding up automatic hyperparameter optimization of deep neural networks by extrapolation of learning curves",
        "International Joint Conference on Artificial Intelligence", 2015,
        "https://www.ijcai.org/Proceedings/15/Papers/487.pdf"),
    Reference("falkner2018bohb", "inproceedings", "Stefan Falkner and Aaron Klein and Frank Hutter",
        "BOHB: robust and efficient hyperparameter optimization at scale", _ICML, 2018,
        "https://arxiv.org/abs/1807.01774"),
    Reference("fialho2010analyzing", "article",
        r"{\'A}lvaro Fialho and Luis Da Costa and Marc Schoenauer and Mich{\`e}le Sebag",
        "Analyzing bandit-based adaptive operator selection mechanisms",
        "Annals of Mathematics and Artificial Intelligence", 2010, "https://doi.org/10.1007/s10472-010-9213-y"),
    Reference("gardner2014bayesian", "inproceedings",
        "Jacob R. Gardner and Matt J. Kusner and Zhixiang Xu and Kilian Q. Weinberger and John P. Cunningham",
        "Bayesian optimization with inequality constraints", _ICML, 2014,
        "https://proceedings.mlr.press/v32/gardner14.html"),
    Reference("garnett2023bayesian", "book", "Roman Garnett", "Bayesian optimization",
        "Cambridge University Press", 2023, "https://bayesoptbook.com"),
    Reference("golovin2017google", "inproceedings",
        "Daniel Golovin and Benjamin Solnik and Subhodeep Moitra and Greg Kochanski and John Karro and D. Sculley",
        "Google Vizier: a service for black-box optimization",
        "ACM SIGKDD International Conference on Knowledge Discovery and Data Mining", 2017,
        "https://research.google/pubs/google-vizier-a-service-for-black-box-optimization/"),
    Reference("hansen2009method", "article",
        r"Nikolaus Hansen and Andr{\'e} S. P. Niederberger and Lino Guzzella and Petros Koumoutsakos",
        "A method for handling uncertainty in evolutionary optimization with an application to feedback control of "
        "combustion", _TEVC, 2009, "https://doi.org/10.1109/TEVC.2008.924423"),
    Reference("hansen2011injecting", "misc", "Nikolaus Hansen", "Injecting external solutions into CMA-ES", "", 2011,
        "https://arxiv.org/abs/1110.4181"),
    Reference("hansen2016cma", "misc", "Nikolaus Hansen", "The CMA evolution strategy: a tutorial", "", 2016,
        "https://arxiv.org/abs/1604.00772"),
    Reference("holland1975adaptation", "book", "John H. Holland", "Adaptation in natural and artificial systems",
        "University of Michigan Press", 1975, "https://doi.org/10.7551/mitpress/1090.001.0001"),
    Reference("hvarfner2022pibo", "misc",
        "Carl Hvarfner and Danny Stoll and Artur Souza and Marius Lindauer and Frank Hutter and Luigi Nardi",
        "piBO: augmenting acquisition functions with user beliefs for Bayesian optimization", "", 2022,
        "https://arxiv.org/abs/2204.11051"),
    Reference("hvarfner2024vanilla", "inproceedings", "Carl Hvarfner and Erik Orm Hellsten and Luigi Nardi",
        "Vanilla Bayesian optimization performs great in high dimensions", _ICML, 2024,
        "https://arxiv.org/abs/2402.02229"),
    Reference("jaderberg2017population", "misc",
        "Max Jaderberg and Valentin Dalibard and Simon Osindero and Wojciech M. Czarnecki and Jeff Donahue and Ali "
        "Razavi and Oriol Vinyals and Tim Green and Iain Dunning and Karen Simonyan and Chrisantha Fernando and Koray "
        "Kavukcuoglu", "Population based training of neural networks", "", 2017, "https://arxiv.org/abs/1711.09846"),
    Reference("jin2011surrogate", "article", "Yaochu Jin",
        "Surrogate-assisted evolutionary computation: recent advances and future challenges",
        "Swarm and Evolutionary Computation", 2011, "https://doi.org/10.1016/j.swevo.2011.05.001"),
    Reference("joe2008constructing", "article", "Stephen Joe and Frances Y. Kuo",
        "Constructing Sobol sequences with better two-dimensional projections",
        "SIAM Journal on Scientific Computing", 2008, "https://doi.org/10.1137/070709359"),
    Reference("kelley1935unbiased", "article", "Truman L. Kelley", "An unbiased correlation ratio measure",
        "Proceedings of the National Academy of Sciences", 1935, "https://doi.org/10.1073/pnas.21.9.554"),
    Reference("klein2020model", "misc",
        r"Aaron Klein and Louis C. Tiao and Thibaut Lienart and C{\'e}dric Archambeau and Matthias Seeger",
        "Model-based asynchronous hyperparameter and neural architecture search", "", 2020,
        "https://arxiv.org/abs/2003.10865"),
    Reference("li2018hyperband", "article",
        "Lisha Li and Kevin Jamieson and Giulia DeSalvo and Afshin Rostamizadeh and Ameet Talwalkar",
        "Hyperband: a novel bandit-based approach to hyperparameter optimization",
        "Journal of Machine Learning Research", 2018, "https://arxiv.org/abs/1603.06560"),
    Reference("li2020system", "inproceedings",
        "Liam Li and Kevin Jamieson and Afshin Rostamizadeh and Ekaterina Gonina and Moritz Hardt and Benjamin Recht "
        "and Ameet Talwalkar", "A system for massively parallel hyperparameter tuning",
        "Conference on Machine Learning and Systems", 2020, "https://arxiv.org/abs/1810.05934"),
    Reference("mallik2023priorband", "inproceedings",
        "Neeratyoy Mallik and Edward Bergman and Carl Hvarfner and Danny Stoll and Maciej Janowski and Marius Lindauer "
        "and Luigi Nardi and Frank Hutter",
        "PriorBand: practical hyperparameter optimization in the age of deep learning", _NIPS, 2023,
        "https://arxiv.org/abs/2306.12370"),
    Reference("maron1993hoeffding", "inproceedings", "Oded Maron and Andrew W. Moore",
        "Hoeffding races: accelerating model selection search for classification and function approximation", _NIPS,
        1993, "https://papers.nips.cc/paper/841"),
    Reference("parkerholder2020provably", "inproceedings", "Jack Parker-Holder and Vu Nguyen and Stephen Roberts",
        "Provably efficient online hyperparameter optimization with population-based bandits", _NIPS, 2020,
        "https://arxiv.org/abs/2002.02518"),
    Reference("prechelt1998early", "inproceedings", "Lutz Prechelt", "Early stopping - but when?",
        "Neural Networks: Tricks of the Trade", 1998, "https://doi.org/10.1007/978-3-642-35289-8_5"),
    Reference("rasmussen2006gaussian", "book", "Carl Edward Rasmussen and Christopher K. I. Williams",
        "Gaussian processes for machine learning", "MIT Press", 2006, "https://gaussianprocess.org/gpml/"),
    Reference("rechenberg1973evolutionsstrategie", "book", "Ingo Rechenberg",
        "Evolutionsstrategie: Optimierung technischer Systeme nach Prinzipien der biologischen Evolution",
        "Frommann-Holzboog", 1973, ""),
    Reference("schmucker2021multi", "misc",
        r"Robin Schmucker and Michele Donini and Muhammad Bilal Zafar and David Salinas and C{\'e}dric Archambeau",
        "Multi-objective asynchronous successive halving", "", 2021, "https://arxiv.org/abs/2106.12639"),
    Reference("sobol1967distribution", "article", "Ilya M. Sobol",
        "On the distribution of points in a cube and the approximate evaluation of integrals",
        "USSR Computational Mathematics and Mathematical Physics", 1967,
        "https://doi.org/10.1016/0041-5553(67)90144-9"),
    Reference("storn1997differential", "article", "Rainer Storn and Kenneth Price",
        "Differential evolution: a simple and efficient heuristic for global optimization over continuous spaces",
        "Journal of Global Optimization", 1997, "https://doi.org/10.1023/A:1008202821328"),
    Reference("tanabe2013success", "inproceedings", "Ryoji Tanabe and Alex Fukunaga",
        "Success-history based parameter adaptation for differential evolution", _CEC, 2013,
        "https://doi.org/10.1109/CEC.2013.6557555"),
    Reference("thompson1933likelihood", "article", "William R. Thompson",
        "On the likelihood that one unknown probability exceeds another in view of the evidence of two samples",
        "Biometrika", 1933, "https://doi.org/10.1093/biomet/25.3-4.285"),
    Reference("viering2022shape", "article", "Tom Viering and Marco Loog", "The shape of learning curves: a review",
        "IEEE Transactions on Pattern Analysis and Machine Intelligence", 2022,
        "https://doi.org/10.1109/TPAMI.2022.3220744"),
    Reference("watanabe2023tree", "misc", "Shuhei Watanabe",
        "Tree-structured Parzen estimator: understanding its algorithm components", "", 2023,
        "https://arxiv.org/abs/2304.11127"),
    Reference("yang2019efficient", "misc",
        r"Kaifeng Yang and Michael Emmerich and Andr{\'e} Deutz and Thomas B{\"a}ck",
        "Efficient computation of expected hypervolume improvement using box decomposition algorithms", "", 2019,
        "https://arxiv.org/abs/1904.12672"),
    Reference("yang2022tensor", "misc",
        "Greg Yang and Edward J. Hu and Igor Babuschkin and Szymon Sidor and Xiaodong Liu and David Farhi and Nick "
        "Ryder and Jakub Pachocki and Weizhu Chen and Jianfeng Gao",
        "Tensor Programs V: tuning large neural networks via zero-shot hyperparameter transfer", "", 2022,
        "https://arxiv.org/abs/2203.03466"),
    Reference("zhang2009jade", "article", "Jingqiao Zhang and Arthur C. Sanderson",
        "JADE: adaptive differential evolution with optional external archive", _TEVC, 2009,
        "https://doi.org/10.1109/TEVC.2009.2014613"),
    Reference("zhang2020random", "inproceedings", "Richard Zhang and Daniel Golovin",
        "Random hypervolume scalarizations for provable multi-objective black box optimization", _ICML, 2020,
        "https://proceedings.mlr.press/v119/zhang20i.html"),
)  # fmt: skip

REFERENCES: dict[str, Reference] = {reference.key: reference for reference in _ALL}
