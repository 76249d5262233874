-- National market share: a nation's part of a region's revenue with one type of part, by year.
with all_nations as (
    select
        extract(year from o_orderdate) as o_year,
        l_extendedprice * (1 - l_discount) as volume,
        sellers.n_name as nation
    from part
    inner join lineitem on p_partkey = l_partkey
    inner join supplier on l_suppkey = s_suppkey
    inner join orders on l_orderkey = o_orderkey
    inner join customer on o_custkey = c_custkey
    inner join nation as buyers on c_nationkey = buyers.n_nationkey
    inner join region on buyers.n_regionkey = r_regionkey
    inner join nation as sellers on s_nationkey = sellers.n_nationkey
    where
        r_name = 'AMERICA'
        and o_orderdate between date '1995-01-01' and date '1996-12-31'
        and p_type = 'ECONOMY ANODIZED STEEL'
)

select
    o_year,
    sum(case when nation = 'BRAZIL' then volume else 0 end) / sum(volume) as mkt_share
from all_nations
group by o_year
order by o_year
