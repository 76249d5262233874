-- Suppliers who kept orders waiting: alone late in orders of several suppliers.
select
    s_name,
    count(*) as numwait
from supplier
inner join lineitem as late on s_suppkey = late.l_suppkey
inner join orders on late.l_orderkey = o_orderkey
inner join nation on s_nationkey = n_nationkey
where
    o_orderstatus = 'F'
    and late.l_receiptdate > late.l_commitdate
    and exists (
        select *
        from lineitem as other
        where other.l_orderkey = late.l_orderkey and other.l_suppkey <> late.l_suppkey
    )
    and not exists (
        select *
        from lineitem as other
        where
            other.l_orderkey = late.l_orderkey
            and other.l_suppkey <> late.l_suppkey
            and other.l_receiptdate > other.l_commitdate
    )
    and n_name = 'SAUDI ARABIA'
group by s_name
order by numwait desc, s_name
limit 100
