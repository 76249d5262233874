-- Important stock: parts that make up a share of the stock value in a nation.
select
    ps_partkey,
    sum(ps_supplycost * ps_availqty) as stock_value
from partsupp
inner join supplier on ps_suppkey = s_suppkey
inner join nation on s_nationkey = n_nationkey
where n_name = 'GERMANY'
group by ps_partkey
having
    sum(ps_supplycost * ps_availqty) > (
        select sum(ps_supplycost * ps_availqty) * 0.0001
        from partsupp
        inner join supplier on ps_suppkey = s_suppkey
        inner join nation on s_nationkey = n_nationkey
        where n_name = 'GERMANY'
    )
order by stock_value desc, ps_partkey
