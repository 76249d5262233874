-- Minimum cost supplier: who in a region sells parts of a size and type at the lowest cost.
select
    s_acctbal,
    s_name,
    n_name,
    p_partkey,
    p_mfgr,
    s_address,
    s_phone,
    s_comment
from part
inner join partsupp on p_partkey = ps_partkey
inner join supplier on ps_suppkey = s_suppkey
inner join nation on s_nationkey = n_nationkey
inner join region on n_regionkey = r_regionkey
where
    p_size = 15
    and p_type like '%BRASS'
    and r_name = 'EUROPE'
    and ps_supplycost = (
        select min(ps_supplycost)
        from partsupp
        inner join supplier on ps_suppkey = s_suppkey
        inner join nation on s_nationkey = n_nationkey
        inner join region on n_regionkey = r_regionkey
        where p_partkey = ps_partkey and r_name = 'EUROPE'
    )
order by s_acctbal desc, n_name, s_name, p_partkey
limit 100
