-- Volume shipping: revenue between two nations, by direction and year.
with shipping as (
    select
        sellers.n_name as supp_nation,
        buyers.n_name as cust_nation,
        extract(year from l_shipdate) as l_year,
        l_extendedprice * (1 - l_discount) as volume
    from supplier
    inner join lineitem on s_suppkey = l_suppkey
    inner join orders on l_orderkey = o_orderkey
    inner join customer on o_custkey = c_custkey
    inner join nation as sellers on s_nationkey = sellers.n_nationkey
    inner join nation as buyers on c_nationkey = buyers.n_nationkey
    where
        (
            (sellers.n_name = 'FRANCE' and buyers.n_name = 'GERMANY')
            or (sellers.n_name = 'GERMANY' and buyers.n_name = 'FRANCE')
        )
        and l_shipdate between date '1995-01-01' and date '1996-12-31'
)

select
    supp_nation,
    cust_nation,
    l_year,
    sum(volume) as revenue
from shipping
group by supp_nation, cust_nation, l_year
order by supp_nation, cust_nation, l_year
