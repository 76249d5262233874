-- Local supplier volume: revenue within each nation of a region.
select
    n_name,
    sum(l_extendedprice * (1 - l_discount)) as revenue
from customer
inner join orders on c_custkey = o_custkey
inner join lineitem on o_orderkey = l_orderkey
inner join supplier on l_suppkey = s_suppkey and c_nationkey = s_nationkey
inner join nation on s_nationkey = n_nationkey
inner join region on n_regionkey = r_regionkey
where
    r_name = 'ASIA'
    and o_orderdate >= date '1994-01-01'
    and o_orderdate < date '1994-01-01' + interval '1 year'
group by n_name
order by revenue desc
