"""What the tools write in both languages: the words of snippet cards, of charts, of the preview.

Those of scripts in the browser stand in the scripts; `tests/rules/test_words.py` holds the keys of
all of them together.
"""

Words = dict[str, dict[str, str]]
"""By language, then by key."""

CARD: Words = {
    "zh": {
        "download": "下载这个文件",
        "source": "源码",
        "proved": "✓ {when} 运行通过",
        "unproved": "本次构建未验证",
        "script": "每次跑出的数都不一样，所以没有输出可核对；它有自己的测试",
        "failed": "✗ 最近一次运行没有通过：{problem}",
        "watch": "看它运行",
        "needs": "另需 pip install {packages}",
    },
    "en": {
        "download": "Download this file",
        "source": "Source",
        "proved": "✓ Ran {when}",
        "unproved": "Not proved in this build",
        "script": "Prints other numbers each time, so there is no output to prove; it has tests",
        "failed": "✗ The last run failed: {problem}",
        "watch": "Watch it run",
        "needs": "also needs pip install {packages}",
    },
}

FOLD: Words = {
    "zh": {
        "lines": "{what} · {count} 行",
        "and": "、",
        "imports": "导入",
        "variables": "变量",
        "setup": "准备",
        "wait": "等服务端",
        "cleanup": "清理",
        "printed": "其余输出",
        "docstring": "说明",
    },
    "en": {
        "lines": "{what} · {count} lines",
        "and": ", ",
        "imports": "imports",
        "variables": "variables",
        "setup": "set-up",
        "wait": "waiting for the server",
        "cleanup": "clean-up",
        "printed": "more output",
        "docstring": "docstring",
    },
}

CHART: Words = {
    "zh": {
        "cores": "{} 核",
        "rate": "每秒次数",
        "slowest": "最慢的一次",
        "fastest": "最快的一次",
        "medians": "每项跑 {} 次，画的是中位数；细线从最慢的一次画到最快的一次",
        "means": "{} 次里所有查询的平均",
        "figures": "看数字",
        "told": "{}：{}。",
        "and": "，",
        "ms": "（毫秒）",
        "median_ms": "中位数",
        "slowest_ms": "最慢",
        "fastest_ms": "最快",
        "borrowing": "一次小查询要多久：连接从哪里来",
        "place": "数据库在哪里",
        "near": "同一台机器",
        "far": "往返 {:g} 毫秒的网络",
        "way": "连接从哪里来",
        "new": "新开连接",
        "ping": "池，加预检",
        "pooled": "池",
        "autocommit": "池，AUTOCOMMIT",
        "plateau": "吞吐量随 pool_size 怎样变",
        "query": "查询",
        "waiting": "等待的查询",
        "computing": "计算的查询",
        "per_second": "，每秒次数",
        "latency": "延迟随 pool_size 怎样变",
        "mean": "，平均毫秒数",
        "wait": "等连接",
        "held": "占着连接",
        "total": "合计",
        "neighbor": "旁边的池有多大，邻居的一条查询要多久",
        "somebody": "邻居的查询",
    },
    "en": {
        "cores": "{} cores",
        "rate": "Per second",
        "slowest": "Slowest run",
        "fastest": "Fastest run",
        "medians": "median of {} runs; thin lines go from the slowest to the fastest",
        "means": "mean of all queries in {} runs",
        "figures": "Figures",
        "told": "{}: {}. ",
        "and": ", ",
        "ms": ", ms",
        "median_ms": "Median",
        "slowest_ms": "Slowest",
        "fastest_ms": "Fastest",
        "borrowing": "How long one small query takes, by where its connection comes from",
        "place": "Database",
        "near": "On the same machine",
        "far": "Across a network with a round trip of {:g} ms",
        "way": "Connection",
        "new": "New",
        "ping": "Pool, pre-ping",
        "pooled": "Pool",
        "autocommit": "Pool, AUTOCOMMIT",
        "plateau": "Throughput by pool_size",
        "query": "Queries",
        "waiting": "Queries that wait",
        "computing": "Queries that compute",
        "per_second": ", per second",
        "latency": "Latency by pool_size",
        "mean": ", mean in ms",
        "wait": "Waiting for a connection",
        "held": "Holding one",
        "total": "Total",
        "neighbor": "How long a neighbor's query takes, by the size of the pool next door",
        "somebody": "The neighbor's query",
    },
}

PREVIEW: Words = {
    "zh": {"problem": "这一页有问题，改好之前下面可能还是上一次的内容："},
    "en": {
        "problem": "Something is wrong here; until it is fixed, this may be the page as it was:"
    },
}

SITE: Words = {
    "zh": {"search": "搜索"},
    "en": {"search": "Search"},
}

ARCHIVE: Words = {
    "zh": {"size": "（{kib} KB）"},
    "en": {"size": " ({kib} KB)"},
}
